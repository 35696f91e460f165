"""
timm's own benchmark of timm's own ResNet-50, written anew from what its benchmark.py does.

10 steps to warm up, then 40; perf_counter, and on a GPU a synchronize after each step; the rate is images over
the whole elapsed time. The input is one float32 tensor on the device, which autocast casts in every step.
A training step makes its targets within autocast, has backward there too, and uses timm's default SGD.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import timm
import torch
from timm.optim import create_optimizer_v2

from bench.agent_peers import peer

WARM_UP: Final = 10
STEPS: Final = 40
_RATE: Final = 1e-4
_AUTOCAST: Final = {"amp-bf16": torch.bfloat16, "amp-fp16": torch.float16}


def main() -> None:
    given = peer.parser(__doc__).parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = given.precision != "fp32"
    torch.backends.cudnn.allow_tf32 = given.precision != "fp32"
    if given.device == "cpu":
        peer.share_processor(torch)
    step = {"training": _training, "inference": _inference}[given.kind](given)
    with torch.no_grad() if given.kind == "inference" else contextlib.nullcontext():
        seconds = _timed(step, given.device)
    peer.tell(
        images_per_second=STEPS * given.batch_size / seconds,
        steps=STEPS,
        seconds=seconds,
        batch_size=given.batch_size,
        precision=given.precision,
        threads=torch.get_num_threads() if given.device == "cpu" else None,
    )


def _timed(step: Callable[[], None], device: str) -> float:
    def now() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    for _ in range(WARM_UP):
        step()
        now()
    began = now()
    for _ in range(STEPS):
        step()
        ended = now()
    return ended - began


def _training(given: Any) -> Callable[[], None]:
    model, images = _model(given).train(), _images(given)
    loss_of = torch.nn.CrossEntropyLoss().to(given.device)
    optimizer = create_optimizer_v2(model, opt="sgd", lr=_RATE)

    def step() -> None:
        optimizer.zero_grad()
        with _autocast(given):
            output = model(images)
            targets = torch.empty(output.shape[:1], device=given.device, dtype=torch.long)
            loss_of(output, targets.random_(model.num_classes)).backward()
        optimizer.step()

    return step


def _inference(given: Any) -> Callable[[], None]:
    model, images = _model(given).eval(), _images(given)

    def step() -> None:
        with _autocast(given):
            model(images)

    return step


def _model(given: Any) -> Any:
    model = timm.create_model("resnet50", pretrained=False)
    return model.to(given.device, memory_format=torch.channels_last)


def _images(given: Any) -> Any:
    shape = (given.batch_size, 3, given.image_size, given.image_size)
    return torch.randn(shape, device=given.device).contiguous(memory_format=torch.channels_last)


def _autocast(given: Any) -> Any:
    kind = _AUTOCAST.get(given.precision)
    return torch.autocast(given.device, dtype=kind) if kind else contextlib.nullcontext()


if __name__ == "__main__":
    main()
