"""The agent's figure as the agent takes it: warmed up until steady, measured until it is exact."""

from __future__ import annotations

import time
from typing import Any

import torch

from bench.agent_peers import peer


def main() -> None:
    began = time.perf_counter()  # torch is imported, nothing of ours yet
    given = peer.parser(__doc__).parse_args()
    from remote_agent.measure import devices, timing
    from remote_agent.measure.workload import Inference, Training

    kind = {"training": Training, "inference": Inference}[given.kind]
    workload = kind(peer.options(given), devices.choose_device(given.device))
    fields = figure(workload, timing.Limits(workload.options.steps, given.seconds))
    peer.tell(**fields, from_import_seconds=time.perf_counter() - began)


def figure(workload: Any, limits: Any) -> dict[str, Any]:
    """What a peer of ours tells of a workload: images/s with its interval, and how it came about."""
    warm = workload.warm_up(peer.quiet, limits.budget_seconds * 2 / 3)
    timed = workload.measure(warm, limits, peer.quiet)
    batch, spread = workload.options.batch_size, timed.spread
    return {
        "images_per_second": batch / spread.mean,
        "low": batch / spread.high,
        "high": batch / spread.low if spread.low > 0 else None,
        "half_width": min(spread.half_width, 1.0),
        "steps": len(timed.steps),
        "seconds": timed.measured_seconds,
        "wall_seconds": timed.wall_seconds,
        "warm_up_steps": warm.steps,
        "steady": warm.steady,
        "fallback": workload.fallback,
        "configuration": workload.configuration,
        "model_source": workload.model_source,
        "torch_cuda": torch.version.cuda,
    }


if __name__ == "__main__":
    main()
