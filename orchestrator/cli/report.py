"""How a run ended and what was measured, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.cli.output import put, put_block, put_heading, put_pairs, put_table
from orchestrator.database.models import FigureRow, Instance, Result, Run
from orchestrator.domain.errors import explain

_COLOURS = {"passed": "bold green", "failed": "bold red"}
_LAYOUTS = {True: "channels last", False: "channels first"}
_SEEN = {True: "ok", False: "FAILED", None: "not told"}


def put_outcome(
    run: Run, result: Result | None, instance: Instance, others: Sequence[FigureRow] = ()
) -> None:
    """The end of a run: state, figures with their units and conditions, evidence, remedy."""
    heading = f"{run.state.upper()} {instance.vast_instance_id} run {run.id}"
    put_heading(heading, _COLOURS.get(run.state, "bold yellow"))
    if result is not None:
        put_result(result, others)
    if run.error_code is not None:
        put_error(run)


def put_result(result: Result, others: Sequence[FigureRow] = ()) -> None:
    """The result, the figures beside it, and the verdict line by line."""
    put_pairs(figures(result), indent=2)
    if others:
        put("Figures")
        put_table(("FIGURE", "GPU", "VALUE", "95 %", "UNIT", "CONDITIONS"), map(_figure, others))
    put("Verdict")
    put_pairs(verdict_lines(result.evidence, result.findings), indent=2)


def put_error(run: Run) -> None:
    """The code of a run's end with what happened, what to do, and what was seen."""
    code = run.error_code or "internal_error"
    known = explain(code)
    put(f"{code}: {run.error_message or known.sentence}")
    put(f"What to do: {known.remedy}")
    for name, value in run.evidence.items():
        if isinstance(value, str) and "\n" in value:
            put_block(name, value)
        elif isinstance(value, list):
            put_block(name, "\n".join(_flat(each) for each in value))
        else:
            put_pairs([(name, value)], indent=2)


def figures(result: Result) -> Iterator[tuple[str, str]]:
    """Figures with units; only those that the result tells."""
    known = {
        "throughput": _throughput(result),
        "latency": _with_unit(result.latency_ms, ",.2f", "ms a batch"),
        "inference": _with_unit(result.inference_images_per_sec, ",.2f", "images/s"),
        "of the card": _shares(result),
        "compute miles": _with_unit(
            result.compute_miles_per_hour, ",.0f", f"an hour ({result.compute_miles_formula})"
        ),
        "GPU load": _with_unit(result.gpu_utilization_percent, ".0f", "%"),
        "power": _with_unit(result.power_draw_watts, ",.0f", "W"),
        "temperature": _with_unit(result.temperature_celsius, ".0f", "°C at most"),
        "memory": _memory(result),
        "loss": _with_unit(result.loss, ".4g", "at the last step"),
        "measured": _extent(result),
        "device": _device(result),
        "conditions": _conditions(result),
        "software": _software(result),
    }
    return ((name, text) for name, text in known.items() if text)


def verdict_lines(
    evidence: Sequence[dict[str, Any]], findings: Sequence[dict[str, Any]] = ()
) -> Iterator[tuple[str, str]]:
    """What each check saw; what was found odd about the machine is noted and judges nothing."""
    noted = {each.get("code") for each in findings}
    for line in evidence:
        passed, check = line.get("passed"), line.get("check")
        odd = passed is None and check in noted
        yield "noted" if odd else _SEEN.get(passed, "not told"), f"{check}: {line.get('text')}"


def _with_unit(value: float | None, form: str, unit: str) -> str | None:
    return None if value is None else f"{value:{form}} {unit}"


def _throughput(result: Result) -> str | None:
    rate = result.throughput_images_per_sec
    if rate is None or result.throughput_low is None or result.throughput_high is None:
        return _with_unit(rate, ",.2f", "images/s")
    half = 50 * (result.throughput_high - result.throughput_low) / rate if rate else 0.0
    return f"{rate:,.2f} images/s +-{half:,.2f} % (95 % confidence)"


def _shares(result: Result) -> str | None:
    parts = [
        _with_unit(result.mfu_percent, ".1f", "% of its arithmetic (MFU)"),
        _with_unit(result.roofline_percent, ".1f", "% of its memory roofline (fused)"),
    ]
    return ", ".join(part for part in parts if part) or None


def _figure(row: FigureRow) -> tuple[object, ...]:
    exact = None
    if row.value and row.low is not None and row.high is not None:
        exact = f"+-{50 * (row.high - row.low) / abs(row.value):,.2f} %"
    value = f"{row.value:,.2f}" if row.value is not None else row.detail.get("error")
    return row.name, row.gpu_index, value, exact, row.unit, _short_conditions(row.configuration)


def _short_conditions(told: dict[str, Any]) -> str:
    batch = f"batch {told['batch_size']}" if "batch_size" in told else None
    names = ("precision", "mode", "size")
    return ", ".join(str(each) for each in (batch, *(told.get(name) for name in names)) if each)


def _memory(result: Result) -> str | None:
    if result.memory_used_gb is None:
        return None
    total = "" if result.memory_total_gb is None else f" of {result.memory_total_gb:,.1f}"
    return f"{result.memory_used_gb:,.1f}{total} GiB at most"


def _extent(result: Result) -> str | None:
    if result.images is None or result.measured_seconds is None:
        return None
    whole = _with_unit(result.test_duration_seconds, ",.1f", "s for the whole test")
    stretch = f"{result.images:,} images in {result.measured_seconds:,.2f} s"
    return f"{stretch} ({whole})" if whole else stretch


def _device(result: Result) -> str | None:
    if result.measured_gpu_name:
        return f"{result.measured_gpu_name} ({result.measured_gpu_count or 1} in the machine)"
    return result.device.upper() if result.device else None


def _conditions(result: Result) -> str:
    epochs = "1 epoch" if result.num_epochs == 1 else f"{result.num_epochs} epochs"
    parts = [
        f"ResNet-50 training ({result.model_source})" if result.model_source else "ResNet-50",
        f"batch {result.batch_size}",
        epochs,
        f"{result.image_size} px",
        result.precision,
        result.mode,
        None if result.channels_last is None else _LAYOUTS[result.channels_last],
        f"profile {result.profile}" if result.profile else None,
        f"configuration {result.configuration_hash}" if result.configuration_hash else None,
    ]
    return ", ".join(part for part in parts if part)


def _software(result: Result) -> str | None:
    versions = {
        "torch": result.torch_version,
        "CUDA": result.cuda_version,
        "driver": result.driver_version,
    }
    return ", ".join(f"{name} {value}" for name, value in versions.items() if value) or None


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items())
    return str(value)
