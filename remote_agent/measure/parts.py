"""The parts of a measurement that train or infer: each returns figures, with their conditions."""

import contextlib
import gc
import sys
import time
from typing import Any, Dict, List, Optional, Tuple, Type

import torch

from remote_agent.failure import is_out_of_memory
from remote_agent.measure import kernels, precision, sweep, timing
from remote_agent.measure.figure import Figure
from remote_agent.measure.report import Report
from remote_agent.measure.workload import Inference, Training, Workload
from remote_agent.spec import Options

_TRIAL_WARMUP_SECONDS = 2.0
_TRIAL_SECONDS = 1.5
_BEST_SECONDS = 5.0
_FIRST_BATCH = 32
_HOT_SECONDS = 30.0
_IMAGE_BYTES = {"training": 100e6, "inference": 25e6}  # at 224 pixels


def figure_of(name: str, measured: Workload, timed: timing.Timing, **detail: Any) -> Figure:
    """Images per second of GPU 0 with its interval: images / total time, and its spread by steps."""
    batch, spread = measured.options.batch_size, timed.spread
    return Figure(
        name,
        batch / spread.mean,
        "images/s",
        low=batch / spread.high,
        high=batch / spread.low if spread.low > 0 else None,
        gpu_index=0 if measured.device == "cuda" else None,
        configuration=measured.configuration,
        detail={
            "steps": len(timed.steps),
            "seconds": timed.measured_seconds,
            "median_ms": spread.median * 1000,
            "p5_ms": spread.p5 * 1000,
            "p95_ms": spread.p95 * 1000,
            "variation_percent": spread.variation_percent,
            **detail,
        },
    )


def inference(options: Options, device: str, seconds: float, report: Report) -> List[Figure]:
    """Inference as the training was requested: the same batch, precision and layout."""
    return [_measured(Inference, "inference", options, device, seconds, report)[0]]


def precisions(
    options: Options, device: str, seconds: float, report: Report, but: str
) -> List[Figure]:
    """Training in each other precision that the device has, so that any published table can be compared."""
    figures = []
    for name in precision.supported(device):
        if name != but:
            chosen = options._replace(precision=name)
            figures.append(_measured(Training, "training", chosen, device, seconds, report)[0])
    return figures


def best(
    kind: Type[Workload], options: Options, device: str, plan: Any, report: Report
) -> List[Figure]:
    """What the device can do: the best batch and mode found within the plan, measured once more."""
    until = time.monotonic() + plan.sweep
    name = f"best {kind.name}"
    modes = _modes(options, device, plan.compiled)

    def attempt(batch_size: int, mode: str) -> Tuple[Optional[float], Optional[str]]:
        chosen = options._replace(batch_size=batch_size, mode=mode)
        if device == "cpu" and _bytes_of(kind, chosen) > kernels.free_bytes("cpu"):
            return None, "out of memory"  # the kernel would end us instead of refusing
        seconds = min(_TRIAL_SECONDS, plan.sweep / 4)
        figure, trouble = _measured(kind, f"{name}: trial", chosen, device, seconds, report)
        report.figure(figure)
        return figure.value, trouble

    trials = sweep.search(attempt, _FIRST_BATCH, modes, lambda: time.monotonic() >= until)
    winner = sweep.best(trials)
    if winner is None:
        return [Figure(name, None, "images/s", detail={"error": trials[-1].trouble})]
    chosen = options._replace(batch_size=winner.batch_size, mode=winner.mode)
    figure, _ = _measured(kind, name, chosen, device, min(_BEST_SECONDS, plan.sweep / 4), report)
    return [figure._replace(detail=dict(figure.detail, trials=len(trials)))]


def soak(
    training: Training, warm: timing.Warm, cold: float, seconds: float, report: Report
) -> List[Figure]:
    """
    The same training for minutes: images/s of the last 30 s, and what is left of the `cold` figure.

    `training` has just been measured, and `cold` is what came out.
    """
    limits = timing.Limits(1, seconds, target=0.0)
    timed = training.measure(warm, limits, report.quiet)
    hot = timed.steps[-1:]
    while len(hot) < len(timed.steps) and sum(hot) < min(_HOT_SECONDS, seconds / 2):
        hot = timed.steps[-2 * len(hot) :]
    part = timing.Timing(hot, sum(hot), sum(hot))
    figure = figure_of("soak training", training, part, soaked_seconds=timed.measured_seconds)
    share = 100 * (figure.value or 0.0) / cold
    detail = {"cold_images_per_sec": cold, "hot_images_per_sec": figure.value}
    return [
        figure,
        Figure("hot against cold", share, "%", gpu_index=figure.gpu_index, detail=detail),
    ]


def reserved_gb() -> float:
    """GiB that torch has taken of the current GPU's memory, at most so far."""
    return float(torch.cuda.max_memory_reserved()) / 2**30


def release() -> None:
    """Gives back what the last part held on the device, and forgets what it compiled."""
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
    gc.collect()
    # After a capture or a kernel that failed this may fail too; that must not cost the result.
    with contextlib.suppress(RuntimeError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _modes(options: Options, device: str, compiled: bool) -> List[str]:
    """Where no graph can be captured the modes that need one are left out."""
    if device == "cuda" and options.mode == "eager":
        return ["eager"]
    return ["cuda-graph" if device == "cuda" else "eager"] + ["compiled"] * compiled


def _bytes_of(kind: Type[Workload], options: Options) -> float:
    """About what a batch takes on a processor, in 32 bits; activations are kept in training only."""
    return options.batch_size * _IMAGE_BYTES[kind.name] * (options.image_size / 224) ** 2


def _measured(
    kind: Type[Workload], name: str, options: Options, device: str, seconds: float, report: Report
) -> Tuple[Figure, Optional[str]]:
    """One workload's figure; with a value of None and the trouble where it did not work."""
    try:
        return _timed(kind, name, options, device, seconds, report), None
    except Exception as error:
        trouble = "out of memory" if is_out_of_memory(error) else str(error)[:200]
        asked: Dict[str, Any] = {
            "batch_size": options.batch_size,
            "precision": options.precision,
            "mode": options.mode,
            "error": trouble,
        }
    finally:
        release()
    return Figure(name, None, "images/s", detail=asked), trouble


def _timed(
    kind: Type[Workload], name: str, options: Options, device: str, seconds: float, report: Report
) -> Figure:
    measured = kind(options, device)
    warm = measured.warm_up(report.quiet, min(_TRIAL_WARMUP_SECONDS, seconds))
    timed = measured.measure(warm, timing.Limits(2, seconds), report.quiet)
    return figure_of(name, measured, timed)
