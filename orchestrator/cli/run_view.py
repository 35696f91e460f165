"""
What a person sees of a run, from its stored events. Pure: no I/O, no clock, no colour.

`advance` folds an event into the view; `sentence` is the line that tells it. Every text of a machine is made
printable on its way in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.domain.sanitise import printable

Body = Mapping[str, Any]

_STATES: Final = {
    "queued": "waiting for a worker",
    "connecting": "connecting",
    "preparing": "logged in, sending the agent",
    "running": "agent started",
    "judging": "judging",
}
_STEPS: Final = {
    "searching": "looking for torch",
    "found": "torch found",
    "creating_venv": "making a Python environment",
    "installing": "installing torch",
    "installed": "torch installed",
}
_PHASES: Final = {"warmup": "warming up", "measure": "measuring"}
_BESIDE: Final = "measuring what else the profile has"
_SLOWED: Final = {
    "hw_slowdown": "slowed by its hardware",
    "sw_thermal": "slowed by heat",
    "hw_thermal": "slowed by heat",
    "power_brake": "slowed by its power supply",
}
_OBSTACLES: Final = {
    "gpu_busy": "GPU busy",
    "machine_busy": "machine busy with another test",
}
_LONGEST_LINE: Final = 500
_LONGEST_STEP: Final = 120  # pip names every package it installs in one line


@dataclass(frozen=True)
class Reading:
    """The latest sample of one GPU; None for what it does not tell."""

    power_watts: float | None = None
    temperature_celsius: float | None = None
    utilization_percent: float | None = None
    slowed: str | None = None


@dataclass(frozen=True)
class RunView:
    """Where a run is. `done` and `total` are images of the current phase; None outside one."""

    state: str = "queued"
    phase: str = _STATES["queued"]
    attempt: int = 0
    done: int | None = None
    total: int | None = None
    images_per_sec: float | None = None
    machine: str | None = None
    readings: Mapping[int, Reading] = field(default_factory=dict)

    @property
    def tenth(self) -> int:
        """How many tenths of the current phase are done."""
        return 10 * (self.done or 0) // self.total if self.total else 0

    @property
    def gauges(self) -> str:
        """Speed, power and temperature in one line; only what is known."""
        parts = []
        if self.images_per_sec is not None:
            parts.append(f"{self.images_per_sec:,.1f} images/s")
        for index, reading in sorted(self.readings.items()):
            known = _known(
                (reading.power_watts, "{:.0f} W"),
                (reading.temperature_celsius, "{:.0f} °C"),
                (reading.slowed, "({})"),
            )
            if known:
                label = f"GPU {index} " if len(self.readings) > 1 else ""
                parts.append(label + " ".join(known))
        return "   ".join(parts)


def advance(view: RunView, kind: str, body: Body) -> RunView:
    """The view after an event. Kinds that say nothing about where the run is leave it as it was."""
    step = _ADVANCE.get(kind)
    return step(view, body) if step else view


def sentence(kind: str, body: Body) -> str | None:
    """The line that tells an event; None for those which only move a gauge."""
    tell = _SENTENCES.get(kind)
    told = tell(body) if tell else None
    return printable(" ".join(told.split()), _LONGEST_LINE) if told else None


def progress_line(before: RunView, after: RunView) -> str | None:
    """A line at the start of each phase and at each tenth of it, for output that can't be redrawn."""
    if after.total is None or (before.phase, before.tenth) == (after.phase, after.tenth):
        return None
    gauges = f", {after.gauges}" if after.gauges else ""
    return f"{after.phase}: {after.done or 0:,} of {after.total:,} images{gauges}"


def _state(view: RunView, body: Body) -> RunView:
    state = _text(body, "state")
    attempt = body.get("attempt", view.attempt)
    phase = _STATES.get(state, state)
    return replace(view, state=state, phase=phase, attempt=attempt, done=None, total=None)


def _started(view: RunView, _: Body) -> RunView:
    return replace(
        view, phase=_STATES["running"], done=None, total=None, images_per_sec=None, readings={}
    )


def _probe(view: RunView, body: Body) -> RunView:
    return replace(view, machine=_machine(body))


def _provision(view: RunView, body: Body) -> RunView:
    return replace(view, phase=_STEPS.get(body.get("step", ""), view.phase))


def _progress(view: RunView, body: Body) -> RunView:
    return replace(
        view,
        phase=_PHASES.get(body.get("phase", ""), view.phase),
        done=body.get("done"),
        total=body.get("total"),
        images_per_sec=body.get("images_per_sec"),
    )


def _sample(view: RunView, body: Body) -> RunView:
    reading = Reading(
        body.get("power_watts"),
        body.get("temperature_celsius"),
        body.get("utilization_percent"),
        next((_SLOWED[word] for word in body.get("clock_reasons", ()) if word in _SLOWED), None),
    )
    return replace(view, readings={**view.readings, body.get("gpu_index", 0): reading})


def _metric(view: RunView, _: Body) -> RunView:
    """The first figure ends the requested training; how many more there will be nobody knows."""
    return replace(view, phase=_BESIDE, done=None, total=None, images_per_sec=None)


def _result(view: RunView, _: Body) -> RunView:
    return replace(view, phase="result received", done=None, total=None)


def _postponed(view: RunView, body: Body) -> RunView:
    phase = f"put off: {_obstacle(body)}"
    return replace(view, state="queued", phase=phase, done=None, total=None)


def _ended(view: RunView, body: Body) -> RunView:
    state = _text(body, "state")
    return replace(view, state=state, phase=state, done=None, total=None)


_ADVANCE: Final[dict[str, Callable[[RunView, Body], RunView]]] = {
    "state": _state,
    "started": _started,
    "probe": _probe,
    "provision": _provision,
    "progress": _progress,
    "sample": _sample,
    "metric": _metric,
    "result": _result,
    "postponed": _postponed,
    "ended": _ended,
}


def _tell_state(body: Body) -> str:
    state = _text(body, "state")
    told = _STATES.get(state, state)
    if state == "connecting":
        attempt, worker = body.get("attempt", 1), _text(body, "worker")
        again = f", attempt {attempt}" if attempt > 1 else ""
        return f"{told}{again} (worker {worker})"
    if state == "running" and body.get("attached"):
        return "attached to the agent that is running there"
    if state == "running" and body.get("pushed"):
        return f"agent sent and {told.removeprefix('agent ')}"
    return told


def _tell_host_key(body: Body) -> str:
    seen = "first contact, now on record" if body.get("first_contact") else "as on record"
    return f"host key {_text(body, 'fingerprint')} ({seen})"


def _tell_started(body: Body) -> str:
    python, platform = _text(body, "python"), _text(body, "platform")
    return f"agent {_text(body, 'agent')}, Python {python}, {platform}"


def _tell_provision(body: Body) -> str:
    step = _STEPS.get(body.get("step", ""), _text(body, "step"))
    message = printable(_text(body, "message") or _text(body, "torch"), _LONGEST_STEP)
    return f"{step}: {message}" if message else step


def _tell_metric(body: Body) -> str:
    value, low, high = body.get("value"), body.get("low"), body.get("high")
    gpu = body.get("gpu_index")
    name = _text(body, "name") + ("" if gpu is None else f" (GPU {gpu})")
    if value is None:
        trouble = printable(str((body.get("detail") or {}).get("error", "")))
        return f"{name}: not measured{': ' + trouble if trouble else ''}"
    exact = ""
    if value and low is not None and high is not None:
        exact = f" +-{50 * (high - low) / abs(value):.2f} %"
    return f"{name}: {value:,.{2 if abs(value) < 1000 else 0}f} {_text(body, 'unit')}{exact}"


def _tell_retry(body: Body) -> str:
    return f"{_text(body, 'message')} Trying again in {body.get('retry_in_seconds', 0):.0f} s."


def _tell_postponed(body: Body) -> str:
    return f"{_obstacle(body)}: put off, next try in {_span(body.get('retry_in_seconds', 0))}"


def _tell_result(body: Body) -> str:
    rate = body.get("throughput_images_per_sec")
    return f"result: {rate:,.1f} images/s" if rate is not None else "result received"


def _tell_ended(body: Body) -> str:
    message, state = _text(body, "message"), _text(body, "state")
    if state == "cancelled":
        return message or state
    return f"{state}: {message}" if message else state


_SENTENCES: Final[dict[str, Callable[[Body], str]]] = {
    "state": _tell_state,
    "host_key": _tell_host_key,
    "started": _tell_started,
    "probe": lambda body: f"machine: {_machine(body)}",
    "provision": _tell_provision,
    "metric": _tell_metric,
    "warning": lambda body: f"warning: {_text(body, 'message')} ({_text(body, 'code')})",
    "result": _tell_result,
    "failed": lambda body: f"the agent failed: {_text(body, 'message')} ({_text(body, 'code')})",
    "log": lambda body: f"| {_text(body, 'text')}",
    "refused": lambda body: f"refused output ({_text(body, 'reason')}): {_text(body, 'text')}",
    "retry": _tell_retry,
    "postponed": _tell_postponed,
    "ended": _tell_ended,
}


def _obstacle(body: Body) -> str:
    code = _text(body, "code")
    return _OBSTACLES.get(code) or _text(body, "message").rstrip(".") or code


def _span(seconds: float) -> str:
    """About how long, in the unit that people would use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _machine(body: Body) -> str:
    gpu = "no GPU"
    if body.get("gpu_name"):
        gpu = f"{body.get('gpu_count') or 1} x {_text(body, 'gpu_name')}"
    return ", ".join(
        [
            gpu,
            *_known(
                (_text(body, "driver_version") or None, "driver {}"),
                (_text(body, "cuda_version") or None, "CUDA {}"),
                (_text(body, "cpu_model") or None, "{}"),
                (body.get("cpu_count"), "{} CPU cores"),
                (body.get("ram_gb"), "{:.1f} GiB memory"),
            ),
        ]
    )


def _known(*parts: tuple[Any, str]) -> list[str]:
    return [form.format(value) for value, form in parts if value is not None]


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    return "" if value is None else printable(str(value))
