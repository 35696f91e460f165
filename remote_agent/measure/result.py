"""The event `result`: what was measured, and under which conditions."""

import math
import platform
from typing import Any, Dict, List, Optional

import torch

from remote_agent.failure import Failure
from remote_agent.machine.telemetry import Telemetry
from remote_agent.measure.timing import Timing, spread_ms
from remote_agent.measure.training import Training

_GIB = 2**30


def result(
    training: Training,
    timing: Timing,
    warm: Timing,
    telemetry: Telemetry,
    machine: Dict[str, Any],
    seconds: float,
) -> Dict[str, Any]:
    """All fields of the contract; `seconds` is the whole test's. Raises `Failure`."""
    first, last = _losses(training)
    options = training.options
    images = options.steps * options.batch_size
    rate = images / timing.measured_seconds
    return {
        "test_type": "resnet50",
        "batch_size": options.batch_size,
        "num_epochs": options.num_epochs,
        "image_size": options.image_size,
        "throughput_samples_per_sec": rate,
        "throughput_images_per_sec": rate,
        "latency_ms": timing.measured_seconds / options.steps * 1000,
        "loss": last,
        "test_duration_seconds": seconds,
        "images": images,
        "steps": options.steps,
        "measured_seconds": timing.measured_seconds,
        "precision": training.precision,
        "model_source": training.model_source,
        "parameters": training.parameters,
        "torch_version": str(torch.__version__),
        "driver_version": machine["driver_version"],
        "python_version": platform.python_version(),
        **_device(training.device, telemetry),
        "system_telemetry": _system(training.device, machine),
        "raw_results": {"first_loss": first, **_raw(training, timing, warm, telemetry)},
    }


def _losses(training: Training) -> List[float]:
    losses = [float(loss) for loss in (training.first_loss, training.last_loss) if loss is not None]
    if not all(map(math.isfinite, losses)):
        raise Failure(
            "benchmark_error",
            "The loss is not a finite number: this machine computes wrongly.",
            f"first and last loss: {losses}",
        )
    return losses


def _device(device: str, telemetry: Telemetry) -> Dict[str, Any]:
    if device == "cpu":
        unknown = ("gpu_utilization_percent", "power_draw_watts", "temperature_celsius")
        nothing = ("memory_used_gb", "memory_total_gb", "gpu_name", "cuda_version")
        return {"device": "cpu", "gpu_count": 0, **dict.fromkeys(unknown + nothing)}
    summary = telemetry.summary()
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    used: Optional[float] = summary["memory_used_gb"]
    return {
        "device": "cuda",
        "gpu_name": str(properties.name)[:200],
        "gpu_count": torch.cuda.device_count(),
        "cuda_version": torch.version.cuda,
        "gpu_utilization_percent": summary["utilization_percent"],
        "power_draw_watts": summary["power_watts"],
        "temperature_celsius": summary["temperature_celsius"],
        # torch counts what it has reserved, NVML what the card has given away: prefer the card's.
        "memory_used_gb": torch.cuda.max_memory_reserved() / _GIB if used is None else used,
        "memory_total_gb": telemetry.memory_total_gb or properties.total_memory / _GIB,
    }


def _system(device: str, machine: Dict[str, Any]) -> Dict[str, Any]:
    has_gpu = device == "cuda"
    return {
        "ram_gb": machine["ram_gb"],
        "cpu_count": machine["cpu_count"],
        "disk_space_gb": machine["disk_space_gb"],
        "gpu_name": torch.cuda.get_device_name() if has_gpu else machine["gpu_name"],
        "gpu_count": torch.cuda.device_count() if has_gpu else machine["gpu_count"],
        "cuda_version": torch.version.cuda if has_gpu else machine["cuda_version"],
    }


def _raw(training: Training, timing: Timing, warm: Timing, telemetry: Telemetry) -> Dict[str, Any]:
    return {
        "step_ms": spread_ms(timing.steps),
        "warmup_steps": len(warm.steps),
        "warmup_seconds": warm.measured_seconds,
        "wall_seconds": timing.wall_seconds,
        "channels_last": True,
        "optimizer": f"sgd-{training.optimizer}",
        "threads": torch.get_num_threads() if training.device == "cpu" else None,
        **_gpu_extras(training.device, telemetry),
    }


def _gpu_extras(device: str, telemetry: Telemetry) -> Dict[str, Any]:
    if device == "cpu":
        return {}
    summary = telemetry.summary()
    return {
        "cudnn_version": torch.backends.cudnn.version(),
        "sm_clock_mhz": summary["sm_clock_mhz"],
        "telemetry_readings": summary["readings"],
        "peak_reserved_gb": torch.cuda.max_memory_reserved() / _GIB,
    }
