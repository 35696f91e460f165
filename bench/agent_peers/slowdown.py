"""
Figures of the agent's training with and without a slowdown that is put into the step.

On a GPU a kernel that sleeps follows each step in the same queue, on the processor the step waits; both for
`--share` of the step. With and without take turns, and the round decides which comes first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import torch

from bench.agent_peers import peer
from remote_agent.measure import devices, timing
from remote_agent.measure.workload import Training

_CYCLES: Final = 2_000_000  # a millisecond or two: long enough to be timed
_WINDOW_SECONDS: Final = 0.25


def main() -> None:
    parser = peer.parser(__doc__)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--figures", type=int, default=4)
    given = parser.parse_args()
    training = Training(peer.options(given), devices.choose_device(given.device))
    warm = training.warm_up(peer.quiet)
    delay, injected = _delay(training, given.share * warm.step_seconds)

    def slowed() -> None:
        training.step()
        delay()

    steps = {"clean": training.step, "slowed": slowed}
    found: dict[str, list[dict[str, Any]]] = {"clean": [], "slowed": []}
    window = max(1, round(_WINDOW_SECONDS / warm.step_seconds))
    limits = timing.Limits(1, given.seconds)
    for turn in range(given.figures):
        order = ["clean", "slowed"] if (turn + given.round) % 2 == 0 else ["slowed", "clean"]
        for name in order:
            timed = timing.measure(steps[name], training.clock, window, limits, peer.quiet)
            found[name].append(_figure(training.options.batch_size, timed.spread))
    peer.tell(
        **found,
        step_seconds=warm.step_seconds,
        injected_share=injected / warm.step_seconds,
        steady=warm.steady,
        configuration=training.configuration,
    )


def _figure(batch_size: int, spread: Any) -> dict[str, float]:
    """A one-step figure has an interval down to no time at all: its rate is then bounded by 1,000 times."""
    least = max(spread.low, spread.mean / 1000)
    return {
        "value": batch_size / spread.mean,
        "low": batch_size / spread.high,
        "high": batch_size / least,
    }


def _delay(training: Training, seconds: float) -> tuple[Callable[[], None], float]:
    """What costs a step `seconds` more, and how much it costs when it is timed alone."""
    if training.device == "cpu":
        return lambda: _wait(seconds), seconds
    rate = _CYCLES / _timed_sleep(training, _CYCLES)
    cycles = max(1, round(seconds * rate))
    return lambda: torch.cuda._sleep(cycles), _timed_sleep(training, cycles)


def _wait(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def _timed_sleep(training: Training, cycles: int, times: int = 20) -> float:
    """Seconds of one sleep, right behind a step so that the GPU's clock is that of the work."""
    clock = training.clock
    training.step()
    first = clock.mark()
    for _ in range(times):
        torch.cuda._sleep(cycles)
    last = clock.mark()
    clock.synchronize()
    return float(clock.seconds(first, last)) / times


if __name__ == "__main__":
    main()
