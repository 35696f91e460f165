"""
From a result and what was claimed to a verdict with its evidence. Pure.

Each check yields one line: passed, failed, or not told (the result does not say; a submission of a
hand-run agent says less than a run of ours). The first failed line gives the verdict its error code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.domain import gpu_catalogue
from orchestrator.domain.errors import (
    AgentError,
    ClockDisagrees,
    GpuCountMismatch,
    GpuMismatch,
    GpuMissing,
    ResultImplausible,
    RunError,
)
from orchestrator.domain.events import Measurement
from orchestrator.domain.options import Options
from orchestrator.domain.run_states import RunState
from orchestrator.domain.sanitise import printable

RESNET50_PARAMETERS: Final = 25_557_032
_ROUNDING: Final = 0.01  # figures of one result agree within 1 %
_LATENCY_ROUNDING: Final = 0.10  # the guide's agents average latency in their own way
_CLOCK_RATIO: Final = 1.10  # how much longer than the machine says we may have waited
_CLOCK_GRAIN: Final = 0.5  # seconds, for events that wait in a buffer
_MOST_OF_IT: Final = 0.5
_CLOCK_SLACK: Final = 3.0  # seconds, for the network and our own load
LEAST_BUDGET: Final = 15.0  # seconds: no profile gives the requested training less
_MOST_OF_THE_BUDGET: Final = 0.8  # a window of steps, or waiting for the clock, may be left over
_LAST_DIGITS: Final = 1e-6
_SIZES: Final = ("batch_size", "num_epochs", "image_size")


@dataclass(frozen=True)
class Claim:
    """What the supplier says the instance has; None where nothing was claimed."""

    gpu_name: str | None
    gpu_count: int | None


@dataclass(frozen=True)
class Observation:
    """
    The measurement on two clocks, in seconds. `ours` and `machines`: between its first progress and the result,
    as we received them and by the machine's `t`; None where no progress was told. `measuring`: from the first to
    the last progress of the requested training, by ours. `waited`: from the launch to the result, by ours.
    `interrupted`: the line broke; `ours` is then what we watched of the training, in all stretches.
    """

    ours: float | None
    machines: float | None
    waited: float | None = None
    interrupted: bool = False
    measuring: float = 0.0


@dataclass(frozen=True)
class Figures:
    """What a result says, as far as it says it."""

    throughput: float | None  # images/s
    latency_ms: float | None  # a batch
    options: Options
    low: float | None = None  # 95 % interval of the throughput
    high: float | None = None
    device: str | None = None
    gpu_name: str | None = None
    gpu_count: int | None = None
    images: int | None = None
    steps: int | None = None
    measured_seconds: float | None = None
    parameters: int | None = None
    error_message: str | None = None

    @classmethod
    def of(cls, measured: Measurement) -> Figures:
        return cls(
            throughput=measured.throughput_samples_per_sec,
            latency_ms=measured.latency_ms,
            options=Options.model_construct(
                batch_size=measured.batch_size,
                num_epochs=measured.num_epochs,
                image_size=measured.image_size,
                precision=measured.precision,
                channels_last=measured.channels_last,
                mode=measured.mode,
                profile=measured.profile,
                budget_seconds=measured.budget_seconds,
            ),
            low=measured.throughput_low,
            high=measured.throughput_high,
            device=measured.device,
            gpu_name=measured.gpu_name,
            gpu_count=measured.gpu_count,
            images=measured.images,
            steps=measured.steps,
            measured_seconds=measured.measured_seconds,
            parameters=measured.parameters,
        )


@dataclass(frozen=True)
class Line:
    """One check: `passed` is None where the result does not tell."""

    check: str
    passed: bool | None
    text: str
    error: type[RunError] | None = None


@dataclass(frozen=True)
class Verdict:
    lines: tuple[Line, ...]

    @property
    def passed(self) -> bool:
        return self.error is None

    @property
    def error(self) -> type[RunError] | None:
        return next((line.error for line in self.lines if line.passed is False), None)

    @property
    def state(self) -> RunState:
        """How a run with this verdict ends."""
        return RunState.PASSED if self.error is None else RunState(self.error.ending)

    @property
    def evidence(self) -> list[dict[str, object]]:
        return [{"check": x.check, "passed": x.passed, "text": x.text} for x in self.lines]


def judge(
    figures: Figures,
    claim: Claim,
    *,
    requested: Options | None = None,
    observation: Observation | None = None,
    findings: Sequence[tuple[str, str]] = (),
) -> Verdict:
    """
    The verdict on `figures`; `requested` and `observation` are known for runs of ours only. `findings` (code and
    sentence) are what the agent found odd about the machine: they explain a figure and fail nobody.
    """
    lines = [
        *_reported_no_error(figures),
        *_device(figures, claim),
        *_as_requested(figures, requested),
        *_arithmetic(figures),
        *_physics(figures),
        *_clock(figures, observation),
        *(Line(printable(code, 60), None, printable(text, 500)) for code, text in findings),
    ]
    return Verdict(tuple(lines))


def _line(check: str, passed: bool, text: str, error: type[RunError]) -> Line:
    return Line(check, passed, text, None if passed else error)


def _reported_no_error(figures: Figures) -> Iterator[Line]:
    if figures.error_message:
        yield _line("no error", False, f"the agent said: {figures.error_message}", AgentError)


def _device(figures: Figures, claim: Claim) -> Iterator[Line]:
    if gpu_catalogue.is_cpu(claim.gpu_name):
        yield Line("device", True, f"onboarded as CPU, measured on {figures.device or 'CPU'}")
        return
    if figures.device == "cpu":
        claimed = claim.gpu_name or "a GPU"
        yield _line("device", False, f"claimed {claimed}, measured on the CPU", GpuMissing)
        return
    yield from _gpu_name(figures, claim)
    yield from _gpu_count(figures, claim)


def _gpu_name(figures: Figures, claim: Claim) -> Iterator[Line]:
    if figures.gpu_name is None and figures.device is not None:
        # An agent of ours names the card that it measured; a submission may not tell.
        yield _line("GPU model", False, "the result does not name the GPU", GpuMismatch)
    elif figures.gpu_name is None:
        yield Line("GPU model", None, f"claimed {claim.gpu_name or 'none'}, the result names none")
    elif claim.gpu_name is None:
        yield Line("GPU model", True, f"nothing claimed, measured {figures.gpu_name}")
    else:
        fits = gpu_catalogue.matches(claim.gpu_name, figures.gpu_name)
        text = f"claimed {claim.gpu_name}, measured {figures.gpu_name}"
        yield _line("GPU model", fits, text, GpuMismatch)


def _gpu_count(figures: Figures, claim: Claim) -> Iterator[Line]:
    if figures.gpu_count is None or claim.gpu_count is None:
        return
    text = f"claimed {claim.gpu_count}, measured {figures.gpu_count}"
    yield _line("GPU count", figures.gpu_count >= claim.gpu_count, text, GpuCountMismatch)


def _as_requested(figures: Figures, requested: Options | None) -> Iterator[Line]:
    if requested is None:
        return
    done, asked = figures.options, requested
    same = all(
        getattr(asked, name) in ("auto", getattr(done, name))
        for name in (*_SIZES, "precision", "channels_last", "mode", "profile")
    )
    text = f"batch {done.batch_size}, {done.num_epochs} epoch(s), {done.image_size} px, {done.precision}, {done.mode}"
    yield _line("as requested", same, text, ResultImplausible)
    yield _all_images(figures, asked)


def _all_images(figures: Figures, asked: Options) -> Line:
    """The epochs that were asked for, unless the budget ended them; more are taken to be exact."""
    steps, images, seconds = figures.steps or 0, figures.images or 0, figures.measured_seconds or 0
    # The profile may give less than was allowed, and never less than this.
    budget = min(asked.budget_seconds or LEAST_BUDGET, LEAST_BUDGET)
    spent = seconds >= budget * _MOST_OF_THE_BUDGET
    text = f"{images:,} images in {steps:,} steps, {asked.images:,} asked"
    if steps < asked.steps and spent:
        text += f", ended by the budget after {seconds:,.1f} s"
    whole = images == steps * asked.batch_size and (steps >= asked.steps or spent)
    return _line("all images", whole, text, ResultImplausible)


def _arithmetic(figures: Figures) -> Iterator[Line]:
    rate, seconds, images = figures.throughput, figures.measured_seconds, figures.images
    if not rate:
        yield _line("throughput", False, "no throughput above zero", ResultImplausible)
        return
    if seconds is not None and images is not None:
        agrees = _close(rate * seconds, images, _ROUNDING)
        text = f"{rate:,.2f} images/s x {seconds:,.3f} s against {images:,} images"
        yield _line("throughput", agrees, text, ResultImplausible)
    if figures.low is not None and figures.high is not None:
        inside = figures.low * (1 - _LAST_DIGITS) <= rate <= figures.high * (1 + _LAST_DIGITS)
        half = 50 * (figures.high - figures.low) / rate
        text = f"{figures.low:,.2f} to {figures.high:,.2f} images/s with 95 % confidence (+-{half:,.2f} %)"
        yield _line("interval", inside, text, ResultImplausible)
    if figures.latency_ms is not None:
        batch = rate * figures.latency_ms / 1000
        agrees = _close(batch, figures.options.batch_size, _LATENCY_ROUNDING)
        text = f"{rate:,.2f} images/s x {figures.latency_ms:,.2f} ms is a batch of {batch:,.1f}"
        yield _line("latency", agrees, text, ResultImplausible)
    if figures.parameters is not None:
        same = figures.parameters == RESNET50_PARAMETERS
        yield _line("model", same, f"{figures.parameters:,} parameters", ResultImplausible)


def _physics(figures: Figures) -> Iterator[Line]:
    model = gpu_catalogue.model_of(figures.gpu_name)
    if model is None or not figures.throughput:
        return
    # Arithmetic shrinks with the area of the image; below 224 px other costs only slow a card down.
    ceiling = model.train_ceiling * (224 / figures.options.image_size) ** 2
    text = (
        f"{figures.throughput:,.0f} of at most {ceiling:,.0f} images/s a {model.name} could compute"
    )
    yield _line("physics", figures.throughput <= ceiling, text, ResultImplausible)


def _clock(figures: Figures, observation: Observation | None) -> Iterator[Line]:
    if observation is None:
        return
    if observation.interrupted:
        yield _clock_of_stretches(figures.measured_seconds, observation.ours)
        return
    if observation.ours is None or observation.machines is None:
        yield _line("clock", False, "no progress of the measurement was told", ClockDisagrees)
        return
    if figures.measured_seconds is not None and observation.waited is not None:
        possible = figures.measured_seconds <= observation.waited * _CLOCK_RATIO + _CLOCK_GRAIN
        text = f"{figures.measured_seconds:,.2f} s measured in {observation.waited:,.2f} s since launch"
        yield _line("time to measure", possible, text, ClockDisagrees)
    yield _clock_of_training(observation, figures.measured_seconds)


def _clock_of_training(seen: Observation, measured: float | None) -> Line:
    ours, machines = seen.ours or 0.0, seen.machines or 0.0
    agrees = ours <= machines * _CLOCK_RATIO + _CLOCK_SLACK
    text = f"{ours:,.2f} s by our clock, {machines:,.2f} s by the machine's"
    if measured is None:
        return _line("clock", agrees, text, ClockDisagrees)
    # The time that the throughput was computed from must not be shorter than what we watched either.
    agrees &= seen.measuring <= measured * _CLOCK_RATIO + _CLOCK_SLACK
    text += f"; training {seen.measuring:,.2f} s by ours, {measured:,.2f} s by its own"
    if agrees and seen.measuring + _CLOCK_SLACK < measured * _MOST_OF_IT:
        return Line("clock", None, f"too little of the training was told while it ran: {text}")
    return _line("clock", agrees, text, ClockDisagrees)


def _clock_of_stretches(measured: float | None, watched: float | None) -> Line:
    """A broken line must not hide a machine that measures longer than it says: what was watched counts."""
    if measured is None or not watched:
        return Line("clock", None, "the line was interrupted, so our clock can't be compared")
    text = (
        f"{watched:,.2f} s watched on an interrupted line, {measured:,.2f} s by the machine's clock"
    )
    if watched > measured * _CLOCK_RATIO + _CLOCK_SLACK:
        return Line("clock", False, text, ClockDisagrees)
    return Line("clock", True if watched > measured * _MOST_OF_IT else None, text)


def _close(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= tolerance * max(abs(a), abs(b))
