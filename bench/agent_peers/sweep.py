"""
The batch and mode with which this device is fastest, found by the agent's own search.

The batch is doubled in the device's usual mode until the time is up, it does not fit or it gains nothing; the
winner is then tried compiled, however long that takes.
"""

from __future__ import annotations

import gc
import time
from typing import Any

import torch

from bench.agent_peers import peer
from remote_agent.measure import devices, sweep, timing, workload
from remote_agent.measure.workload import Inference, Training

_WARM_SECONDS, _TRIAL_SECONDS = 2.0, 1.5


def main() -> None:
    given = peer.parser(__doc__).parse_args()
    device = devices.choose_device(given.device)
    kind = {"training": Training, "inference": Inference}[given.kind]

    def attempt(batch_size: int, mode: str) -> tuple[float | None, str | None]:
        options = peer.options(given)._replace(batch_size=batch_size, mode=mode)
        try:
            return _rate(kind, options, device), None
        except Exception as error:  # noqa: BLE001 - whatever fails is a setting that does not work here
            fits = not workload.is_out_of_memory(error)
            return None, str(error)[:200] if fits else "out of memory"
        finally:
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()

    until = time.monotonic() + given.seconds
    usual = "cuda-graph" if device == "cuda" else "eager"
    first = min(32, given.batch_size)
    trials = sweep.search(attempt, first, [usual], lambda: time.monotonic() >= until)
    winner = sweep.best(trials)
    if winner is None:
        raise SystemExit(f"nothing worked: {trials[-1].trouble}")
    value, trouble = attempt(winner.batch_size, "compiled")
    trials.append(sweep.Trial(winner.batch_size, "compiled", value, trouble))
    winner = sweep.best(trials) or winner
    peer.tell(
        batch_size=winner.batch_size,
        mode=winner.mode,
        images_per_second=winner.value,
        trials=[trial._asdict() for trial in trials],
    )


def _rate(kind: Any, options: Any, device: str) -> float:
    measured = kind(options, device)
    warm = measured.warm_up(peer.quiet, _WARM_SECONDS)
    timed = measured.measure(warm, timing.Limits(2, _TRIAL_SECONDS), peer.quiet)
    return float(options.batch_size / timed.spread.mean)


if __name__ == "__main__":
    main()
