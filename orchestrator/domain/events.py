"""
The agent's wire contract: event types and the decoder of its stdout (docs/agent-contract.md).

The bytes come from a machine we do not trust. The decoder is pure, bounded and strict: a line is an
`Event`, a `LogLine` (it does not carry the run's nonce) or a `Refused` (it does, and breaks the
contract). Nothing a machine can send makes it raise or grow.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from orchestrator.domain.sanitise import printable, require_storable

MOST_CONDITIONS: Final = 8 * 1024  # bytes of a figure's conditions as JSON
MAX_LINE: Final = 64 * 1024  # bytes, newline excluded
EXCERPT: Final = 2048  # characters of a refused or log line that are kept

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]
# What a line did not show may be written as JSON's own escapes.
Text = Annotated[str, Field(max_length=4096), AfterValidator(printable)]
Word = Annotated[str, Field(max_length=200), AfterValidator(printable)]
Percent = Annotated[Finite, Field(ge=0, le=100)]
Watts = Annotated[Finite, Field(ge=0, le=20_000)]
Celsius = Annotated[Finite, Field(ge=-50, le=200)]
Gibibytes = Annotated[Finite, Field(ge=0, le=10_000_000)]
Seconds = Annotated[Finite, Field(ge=0, le=10_000_000)]
PerSecond = Annotated[Finite, Field(ge=0, le=10_000_000)]
Megahertz = Annotated[Finite, Field(ge=0, le=100_000)]
GpuIndex = Annotated[int, Field(ge=0, le=1024)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _Body(BaseModel):
    """Bodies ignore fields they do not know, so an agent may say more than we read."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Started(_Body):
    type: Literal["started"]
    agent: Word
    python: Word
    platform: Word
    boot_id: Word | None = None


class ProbedGpu(_Body):
    index: GpuIndex
    name: Word
    uuid: Word | None = None
    pci_bus_id: Word | None = None
    memory_total_gb: Gibibytes | None = None
    memory_free_gb: Gibibytes | None = None
    compute_capability: Word | None = None
    mig_enabled: bool | None = None
    persistence: bool | None = None
    ecc_enabled: bool | None = None
    power_limit_watts: Watts | None = None
    power_limit_default_watts: Watts | None = None
    pcie_generation_max: Annotated[int, Field(ge=0, le=16)] | None = None
    pcie_width_max: Annotated[int, Field(ge=0, le=64)] | None = None
    processes: Annotated[int, Field(ge=0, le=100_000)] | None = None
    vbios: Word | None = None


class Witnesses(_Body):
    """How many GPUs each source sees; None where it can't tell."""

    nvml: Annotated[int, Field(ge=0, le=1024)] | None = None
    proc: Annotated[int, Field(ge=0, le=1024)] | None = None
    pci: Annotated[int, Field(ge=0, le=1024)] | None = None
    torch: Annotated[int, Field(ge=0, le=1024)] | None = None


class TorchInstall(_Body):
    interpreter: Text
    torch: Word


class Probe(_Body):
    type: Literal["probe"]
    gpu_name: Word | None = None
    gpu_count: Annotated[int, Field(ge=0, le=1024)] | None = None
    gpus: Annotated[list[ProbedGpu], Field(max_length=64)] = []
    driver_version: Word | None = None
    cuda_version: Word | None = None
    cpu_model: Word | None = None
    cpu_count: Annotated[int, Field(ge=1, le=100_000)] | None = None
    ram_gb: Gibibytes | None = None
    disk_space_gb: Gibibytes | None = None
    disk_free_gb: Gibibytes | None = None
    witnesses: Witnesses = Witnesses()
    container: Word | None = None
    kernel: Word | None = None
    glibc: Word | None = None
    torch_installs: Annotated[list[TorchInstall], Field(max_length=24)] = []


class Provision(_Body):
    type: Literal["provision"]
    step: Literal["searching", "found", "creating_venv", "installing", "installed"]
    message: Text = ""
    interpreter: Text | None = None
    torch: Word | None = None


class Progress(_Body):
    type: Literal["progress"]
    phase: Literal["warmup", "measure"]
    done: Count
    total: Count
    images_per_sec: PerSecond | None = None


class Sample(_Body):
    type: Literal["sample"]
    gpu_index: GpuIndex
    power_watts: Watts | None = None
    temperature_celsius: Celsius | None = None
    utilization_percent: Percent | None = None
    memory_used_gb: Gibibytes | None = None
    sm_clock_mhz: Megahertz | None = None
    memory_clock_mhz: Megahertz | None = None
    clock_reasons: Annotated[list[Word], Field(max_length=16)] = []
    pcie_generation: Annotated[int, Field(ge=0, le=16)] | None = None
    pcie_width: Annotated[int, Field(ge=0, le=64)] | None = None
    processes: Annotated[int, Field(ge=0, le=100_000)] | None = None


Condition = Word | bool | int | Finite | None


def _small(conditions: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(conditions, ensure_ascii=False).encode()) > MOST_CONDITIONS:
        raise ValueError("over 8 KiB")
    return conditions


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("not base64") from error
    return text


Conditions = Annotated[dict[Word, Condition], Field(max_length=40), AfterValidator(_small)]


class Metric(_Body):
    """
    A figure beside the result. `low` and `high` bound it with 95 % confidence; only figures of one
    `configuration_hash` may be compared. `gpu_index` is None for what belongs to the whole machine.
    """

    type: Literal["metric"]
    name: Word
    value: Finite | None = None
    unit: Word = ""
    low: Finite | None = None
    high: Finite | None = None
    gpu_index: GpuIndex | None = None
    configuration: Conditions = {}
    configuration_hash: Hash | None = None
    detail: Conditions = {}


class Rollup(_Body):
    min: Finite
    mean: Finite
    p95: Finite
    max: Finite


class Telemetry(_Body):
    """One GPU's readings of the whole measurement, packed (docs/agent-contract.md), and what they come to."""

    type: Literal["telemetry"]
    gpu_index: Annotated[int, Field(ge=0, lt=64)]  # as many as a probe lists
    gpu_uuid: Word | None = None
    interval_seconds: Annotated[Finite, Field(gt=0, le=3600)]
    readings: Count
    columns: Annotated[list[Word], Field(max_length=40)]
    rollup: Annotated[dict[Word, Rollup], Field(max_length=40)] = {}
    packed: Annotated[str, Field(max_length=60_000), AfterValidator(_base64)]


class Warned(_Body):
    type: Literal["warning"]
    code: Word
    message: Text


class SystemTelemetry(_Body):
    ram_gb: Gibibytes | None = None
    cpu_count: Annotated[int, Field(ge=1, le=100_000)] | None = None
    disk_space_gb: Gibibytes | None = None
    gpu_name: Word | None = None
    gpu_count: Annotated[int, Field(ge=0, le=1024)] | None = None
    cuda_version: Word | None = None


class Measurement(_Body):
    """The guide's payload with the conditions it was measured under; units in docs/agent-contract.md."""

    test_type: Literal["resnet50"] = "resnet50"
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    num_epochs: Annotated[int, Field(ge=1, le=10_000)]
    image_size: Annotated[int, Field(ge=1, le=4096)]
    throughput_samples_per_sec: PerSecond
    throughput_images_per_sec: PerSecond
    latency_ms: Annotated[Finite, Field(ge=0, le=10**9)]
    gpu_utilization_percent: Percent | None = None
    memory_used_gb: Gibibytes | None = None
    memory_total_gb: Gibibytes | None = None
    power_draw_watts: Watts | None = None
    temperature_celsius: Celsius | None = None
    loss: Finite
    test_duration_seconds: Seconds
    images: Count
    steps: Count
    measured_seconds: Seconds
    device: Literal["cuda", "cpu"]
    gpu_name: Word | None = None
    gpu_count: Annotated[int, Field(ge=0, le=1024)] = 0
    precision: Literal["fp32", "tf32", "amp-bf16", "amp-fp16"]
    channels_last: bool = True
    mode: Literal["eager", "cuda-graph", "compiled"] = "eager"
    profile: Literal["quick", "standard", "full", "soak"] = "quick"
    budget_seconds: Seconds | None = None
    throughput_low: PerSecond | None = None
    throughput_high: PerSecond | None = None
    variation_percent: Annotated[Finite, Field(ge=0, le=10**6)] | None = None
    inference_images_per_sec: PerSecond | None = None
    configuration: Conditions = {}
    configuration_hash: Hash | None = None
    model_source: Literal["torchvision", "builtin"]
    parameters: Count
    torch_version: Word
    cuda_version: Word | None = None
    driver_version: Word | None = None
    python_version: Word | None = None
    system_telemetry: SystemTelemetry = SystemTelemetry()
    raw_results: dict[str, Any] = {}


class ResultBody(Measurement):
    type: Literal["result"]


class Failed(_Body):
    type: Literal["failed"]
    code: Word
    message: Text
    detail: Text = ""


Body = Annotated[
    Started
    | Probe
    | Provision
    | Progress
    | Sample
    | Metric
    | Telemetry
    | Warned
    | ResultBody
    | Failed,
    Field(discriminator="type"),
]
_BODY: TypeAdapter[Body] = TypeAdapter(Body)


@dataclass(frozen=True)
class Event:
    """One line of the contract: number, seconds since the benchmark started, and what it says."""

    seq: int
    t: float
    body: Body

    @property
    def terminal(self) -> bool:
        return isinstance(self.body, ResultBody | Failed)


@dataclass(frozen=True)
class LogLine:
    """A line without the run's nonce: prints of torch, a warning, a banner. `text` is safe to show."""

    text: str


@dataclass(frozen=True)
class Refused:
    """A line that breaks the contract, kept as evidence. `excerpt` is safe to show."""

    reason: str
    excerpt: str


Item = Event | LogLine | Refused


@dataclass
class Decoder:
    """
    Bytes in, items out; no I/O.

    `offset` is the count of bytes up to and including the last newline that was decoded: with
    `next_seq` it is all that is needed to go on after an interruption. `lines` counts those that this one saw.
    """

    nonce: str
    offset: int = 0
    next_seq: int = 0
    ended: bool = False
    lines: int = 0
    _buffer: bytearray = field(default_factory=bytearray, repr=False)
    _pending: int = 0

    def feed(self, data: bytes) -> list[Item]:
        """The items of all lines that `data` completes. Memory stays under two lines."""
        items: list[Item] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._take(data[start:end])
            items.extend(self._finish_line())
            self.offset += 1
            self.lines += 1
            start = end + 1
        self._take(data[start:])
        return items

    def flush(self) -> list[Item]:
        """
        The last line if it had no newline: an event torn by a crash is refused, other text is log.

        `offset` passes a whole event only, so that whoever goes on from there reads a torn line again.
        """
        before, torn = self.offset, bytes(self._buffer)
        items = self._finish_line()
        if items and not isinstance(items[0], Event):
            self.offset = before
            if len(torn) <= MAX_LINE and torn.lstrip().startswith(b"{"):
                return [Refused("line torn at the end of the output", _excerpt(torn))]
        return items

    def _take(self, piece: bytes) -> None:
        # One byte over the limit is kept, to know the line for what it is at its end.
        self._pending += len(piece)
        self._buffer += piece[: MAX_LINE + 1 - len(self._buffer)]

    def _finish_line(self) -> list[Item]:
        line = bytes(self._buffer)
        self.offset += self._pending
        self._pending = 0
        self._buffer.clear()
        if len(line) > MAX_LINE:
            return [Refused("line over 64 KiB", _excerpt(line))]
        return [self._decode(line)] if line.strip() else []

    def _decode(self, line: bytes) -> Item:
        if self.nonce.encode() not in line:
            return LogLine(_excerpt(line))
        try:
            raw = _parse(line)
        except (ValueError, RecursionError) as error:
            return Refused(f"not the contract's JSON: {printable(str(error), 200)}", _excerpt(line))
        if raw.get("nonce") != self.nonce:
            return LogLine(_excerpt(line))
        return self._admit(raw, line)

    def _admit(self, raw: dict[str, Any], line: bytes) -> Item:
        seq, t = raw.get("seq"), raw.get("t")
        if raw.get("v") != 1 or isinstance(raw["v"], bool):
            return Refused("unknown contract version", _excerpt(line))
        if not isinstance(seq, int) or isinstance(seq, bool) or seq != self.next_seq:
            return Refused(f"seq is not {self.next_seq}", _excerpt(line))
        self.next_seq += 1
        if not isinstance(t, int | float) or isinstance(t, bool) or not 0 <= t < 10**7:
            return Refused("t is not a time", _excerpt(line))
        if self.ended:
            return Refused("an event after the last one", _excerpt(line))
        try:
            body = _BODY.validate_python(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            return Refused(printable(f"{where}: {first['msg']}", 300), _excerpt(line))
        event = Event(seq=seq, t=float(t), body=body)
        self.ended = event.terminal
        return event


def _parse(line: bytes) -> dict[str, Any]:
    if line.count(b"[") + line.count(b"{") > 4096:
        raise ValueError("too many containers")
    value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    require_storable(value)
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _excerpt(line: bytes) -> str:
    return printable(line[: 4 * EXCERPT].decode("utf-8", "replace"), EXCERPT)
