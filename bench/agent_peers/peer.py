"""What all peers have in common: their options, the line they print, and the processor's threads."""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from remote_agent.machine import probe
from remote_agent.spec import DEVICES, MODES, PRECISIONS, Options

KINDS: Final = ("training", "inference")
_PACKAGES: Final = ("torch", "torchvision", "timm", "nvidia-ml-py")


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every peer takes, whether or not it can use them."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--kind", choices=KINDS, default="training")
    made.add_argument("--device", choices=DEVICES, default="auto")
    made.add_argument("--precision", choices=PRECISIONS, default="auto")
    made.add_argument("--mode", choices=MODES, default="auto")
    made.add_argument("--batch-size", type=int, default=32)
    made.add_argument("--image-size", type=int, default=224)
    made.add_argument("--seconds", type=float, default=15.0, help="of a figure, at most")
    made.add_argument("--round", type=int, default=0, help="alternates the order within a process")
    return made


def options(given: argparse.Namespace) -> Options:
    """The agent's own options for what the peer was asked."""
    return Options(
        batch_size=given.batch_size,
        image_size=given.image_size,
        device=given.device,
        precision=given.precision,
        mode=given.mode,
    )


def tell(**fields: Any) -> None:
    """Prints the peer's one line, with the versions that it ran under."""
    print(json.dumps({**fields, "versions": versions()}), flush=True)


def versions() -> dict[str, str | None]:
    """Python's and the packages'; None for one that is missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def share_processor(torch: Any) -> None:
    """As many threads as the agent would use, so that nobody runs with those of the whole machine."""
    torch.set_num_threads(min(torch.get_num_threads(), probe.cpu_count()))


def quiet(_done: int, _seconds: float) -> None:
    """Progress that nobody needs to hear of."""
