"""The event `result`: the requested training, and under which conditions."""

import platform
from typing import Any, Dict, List, NamedTuple, Optional

import torch

from remote_agent.measure import interval, timing
from remote_agent.measure.devices import Device
from remote_agent.measure.figure import Figure, hash_of
from remote_agent.measure.plan import Plan
from remote_agent.measure.workload import Training


class Main(NamedTuple):
    """
    The requested training, measured; `summary` is the telemetry of just this stretch, `reserved_gb` what
    torch had taken of the card's memory at most (None on a CPU).
    """

    training: Training
    warm: timing.Warm
    timing: timing.Timing
    summary: Dict[str, Any]
    reserved_gb: Optional[float] = None


def result(
    main: Main,
    figure: Figure,
    plan: Plan,
    others: List[Figure],
    cards: List[Device],
    machine: Dict[str, Any],
    seconds: float,
) -> Dict[str, Any]:
    """All fields of the contract; `seconds` is the whole test's."""
    training, timed = main.training, main.timing
    options, steps = training.options, len(timed.steps)
    return {
        "test_type": "resnet50",
        "profile": options.profile,
        "budget_seconds": plan.training,
        "batch_size": options.batch_size,
        "num_epochs": options.num_epochs,
        "image_size": options.image_size,
        "throughput_samples_per_sec": figure.value,
        "throughput_images_per_sec": figure.value,
        "throughput_low": figure.low,
        "throughput_high": figure.high,
        "variation_percent": timed.spread.variation_percent,
        "latency_ms": timed.measured_seconds / steps * 1000,
        "inference_images_per_sec": _value_of("inference", others),
        "loss": float(training.last_loss) if training.last_loss is not None else None,
        "test_duration_seconds": seconds,
        "images": steps * options.batch_size,
        "steps": steps,
        "measured_seconds": timed.measured_seconds,
        "precision": training.precision.name,
        "channels_last": options.channels_last,
        "mode": training.mode,
        "configuration": training.configuration,
        "configuration_hash": hash_of(training.configuration),
        "model_source": training.model_source,
        "parameters": training.parameters,
        "torch_version": str(torch.__version__),
        "driver_version": machine["driver_version"],
        "python_version": platform.python_version(),
        **_device(main, cards),
        "system_telemetry": _system(cards, machine),
        "raw_results": _raw(main),
    }


def _value_of(name: str, figures: List[Figure]) -> Optional[float]:
    return next((figure.value for figure in figures if figure.name == name), None)


def _device(main: Main, cards: List[Device]) -> Dict[str, Any]:
    summary = main.summary
    if main.training.device == "cpu":
        unknown = ("gpu_utilization_percent", "power_draw_watts", "temperature_celsius")
        nothing = ("memory_used_gb", "memory_total_gb", "gpu_name", "cuda_version")
        return {"device": "cpu", "gpu_count": 0, **dict.fromkeys(unknown + nothing)}
    used: Optional[float] = summary["memory_used_gb"]
    return {
        "device": "cuda",
        "gpu_name": cards[0].name,
        "gpu_count": len(cards),
        "cuda_version": torch.version.cuda or torch.version.hip,
        "gpu_utilization_percent": summary["utilization_percent"],
        "power_draw_watts": summary["power_watts"],
        "temperature_celsius": summary["temperature_celsius"],
        # torch counts what it has reserved, NVML what the card has given away: prefer the card's.
        "memory_used_gb": main.reserved_gb if used is None else used,
        "memory_total_gb": cards[0].memory_total_gb,
    }


def _system(cards: List[Device], machine: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "ram_gb": machine["ram_gb"],
        "cpu_count": machine["cpu_count"],
        "disk_space_gb": machine["disk_space_gb"],
        "gpu_name": cards[0].name if cards else machine["gpu_name"],
        "gpu_count": len(cards) if cards else machine["gpu_count"],
        "cuda_version": torch.version.cuda if cards else machine["cuda_version"],
    }


def _raw(main: Main) -> Dict[str, Any]:
    training, timed = main.training, main.timing
    return {
        "first_loss": _first_loss(training),
        "step_ms": interval.spread_ms(timed.spread, timed.steps),
        "warmup_steps": main.warm.steps,
        "warmup_seconds": main.warm.seconds,
        "warmup_steady": main.warm.steady,
        "wall_seconds": timed.wall_seconds,
        "interval_percent": 100 * min(timed.spread.half_width, 1e4),
        "optimizer": f"sgd-{training.optimizer}",
        "threads": torch.get_num_threads() if training.device == "cpu" else None,
        **_gpu_extras(main),
    }


def _first_loss(training: Training) -> Optional[float]:
    return None if training.first_loss is None else float(training.first_loss)


def _gpu_extras(main: Main) -> Dict[str, Any]:
    if main.training.device == "cpu":
        return {}
    summary = main.summary
    return {
        "cudnn_version": torch.backends.cudnn.version(),
        "sm_clock_mhz": summary["sm_clock_mhz"],
        "telemetry_readings": summary["readings"],
        "energy_joules": summary.get("energy_joules"),
        "peak_reserved_gb": main.reserved_gb,
    }
