"""What the API says and takes: typed, bounded, with examples."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import from_json

from orchestrator.api.shown import Shown
from orchestrator.database.models import (
    FigureRow,
    Instance,
    Result,
    Run,
    RunEvent,
    TelemetryRow,
)
from orchestrator.domain import errors
from orchestrator.domain.events import (
    Celsius,
    Count,
    Finite,
    Gibibytes,
    Percent,
    PerSecond,
    Seconds,
    Watts,
)
from orchestrator.domain.options import Options
from orchestrator.domain.sanitise import require_storable
from orchestrator.domain.series import unpack
from orchestrator.ssh.keys import LONGEST_HOST_KEY, host_key_fingerprint

T = TypeVar("T")


def _one_line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("holds control characters")
    require_storable(value)
    return value


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    require_storable(value)
    return value


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
ProviderId = Annotated[Line, Field(min_length=1), BeforeValidator(_number_as_text)]
Json = Annotated[dict[str, Any], AfterValidator(_storable)]
HostKeyGiven = Annotated[
    str,
    Field(
        max_length=LONGEST_HOST_KEY,
        description="SHA256:... of the machine's host key, or its public key, as ssh-keyscan prints it.",
    ),
    AfterValidator(host_key_fingerprint),
]
Host = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_.:%\-\[\]]+$")]
User = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.@+\-]+\$?$")]
Price = Annotated[Finite, Field(ge=0, le=1_000_000, description="US dollars an hour.")]
Cursor = Annotated[
    str | None, Field(max_length=200, description="The `next_cursor` of the page before.")
]
Limit = Annotated[int, Field(ge=1, le=200, description="Rows a page.")]


class OnboardRequest(BaseModel):
    """
    A machine as its supplier describes it. Without `ssh_key` it gets a key pair of its own, or with `login` "shared"
    uses our one for all of the supplier's, or with "certificate" our user CA. `connection_check_id` pins the host key
    that this check saw; `host_key` is the one that it must show, and nothing else is logged in to.
    """

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {
                "instance_id": "12345678",
                "ssh_host": "your-gpu-host.com",
                "ssh_port": 22,
                "ssh_user": "root",
                "gpu_name": "NVIDIA H100",
                "gpu_count": 1,
            }
        },
    )

    instance_id: ProviderId
    ssh_host: Host
    offer_id: ProviderId | None = None
    machine_id: ProviderId | None = None
    ssh_port: Annotated[int, Field(ge=1, le=65535)] = 22
    ssh_user: User = "root"
    ssh_key: Annotated[str | None, Field(max_length=32_768, repr=False)] = None
    ssh_key_passphrase: Annotated[str | None, Field(max_length=1024, repr=False)] = None
    gpu_name: Line | None = None
    gpu_count: Annotated[int | None, Field(ge=0, le=1024)] = None
    cuda_version: Line | None = None
    disk_space_gb: Gibibytes | None = None
    cpu_count: Annotated[int | None, Field(ge=1, le=100_000)] = None
    metadata: Json = {}
    provider: Line | None = None
    location: Line | None = None
    price_per_hour: Price | None = None
    login: Literal["own", "shared", "certificate"] = "own"
    connection_check_id: UUID | None = None
    host_key: HostKeyGiven | None = None

    def claims(self) -> dict[str, Any]:
        """As `database.instances.onboard` takes them."""
        same = ("ssh_host", "ssh_port", "ssh_user", "gpu_count", "cuda_version", "disk_space_gb")
        return {
            **{name: getattr(self, name) for name in (*same, "cpu_count")},
            # Only what was given: a provider has a default, and an old request its old fingerprint.
            **self.model_dump(
                include={"provider", "location", "price_per_hour"}, exclude_none=True
            ),
            **({"host_key_given": self.host_key} if self.host_key else {}),
            "gpu_name": (self.gpu_name or "").strip() or None,
            "vast_instance_id": self.instance_id,
            "vast_offer_id": self.offer_id,
            "vast_machine_id": self.machine_id,
            "attributes": self.metadata,
        }


class TestRequest(BaseModel):
    __test__ = False  # not a test class

    gpu_instance_id: str
    options: Options = Options()


class Telemetry(BaseModel):
    ram_gb: Gibibytes | None = None
    cpu_count: Annotated[int | None, Field(ge=1, le=100_000)] = None
    disk_space_gb: Gibibytes | None = None
    gpu_name: Line | None = None
    gpu_count: Annotated[int | None, Field(ge=0, le=1024)] = None
    cuda_version: Line | None = None


class Submission(BaseModel):
    """The guide's payload, from an agent that somebody ran by hand."""

    model_config = ConfigDict(extra="ignore")

    gpu_instance_id: str
    api_key: Annotated[str | None, Field(max_length=200, repr=False)] = None
    test_type: Annotated[str, Field(pattern="^(resnet50|custom)$")] = "resnet50"
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 32
    num_epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    image_size: Annotated[int, Field(ge=1, le=100_000)] = 224
    throughput_images_per_sec: PerSecond | None = None
    throughput_samples_per_sec: PerSecond | None = None
    latency_ms: Annotated[Finite, Field(ge=0)] | None = None
    gpu_utilization_percent: Percent | None = None
    memory_used_gb: Gibibytes | None = None
    memory_total_gb: Gibibytes | None = None
    power_draw_watts: Watts | None = None
    temperature_celsius: Celsius | None = None
    accuracy: Finite | None = None
    loss: Finite | None = None
    test_duration_seconds: Seconds | None = None
    error_message: Annotated[str | None, Field(max_length=4000)] = None
    system_telemetry: Telemetry = Telemetry()
    raw_results: Json = {}


class InstanceShape(Shown):
    """An instance. `gpu_name` and `gpu_count` are claims; a result says what was measured."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    gpu_inventory_id: UUID | None
    vast_instance_id: str
    vast_offer_id: str | None
    vast_machine_id: str | None
    provider: str | None
    location: str | None
    price_per_hour: float | None
    ssh_host: str
    ssh_port: int
    ssh_user: str
    host_key: str | None
    gpu_name: str | None
    gpu_count: int | None
    cuda_version: str | None
    disk_space_gb: float | None
    cpu_count: int | None
    ram_gb: float | None
    status: str
    test_status: str
    tested_at: datetime | None
    metadata: dict[str, Any] = Field(validation_alias="attributes")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, instance: Instance) -> InstanceShape:
        return cls.model_validate(instance)


class ResultShape(Shown):
    """A result with the conditions it was measured under; units in docs/agent-contract.md."""

    as_it_came = frozenset({"raw_results"})
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    gpu_instance_id: UUID
    user_id: UUID
    run_id: UUID | None
    source: str
    test_type: str
    batch_size: int | None
    num_epochs: int | None
    image_size: int | None
    throughput_images_per_sec: float | None
    throughput_samples_per_sec: float | None
    latency_ms: float | None
    gpu_utilization_percent: float | None
    memory_used_gb: float | None
    memory_total_gb: float | None
    power_draw_watts: float | None
    temperature_celsius: float | None
    accuracy: float | None
    loss: float | None
    measured_gpu_name: str | None
    measured_gpu_count: int | None
    compute_miles_formula: str
    compute_miles_per_hour: float | None
    throughput_low: float | None
    throughput_high: float | None
    variation_percent: float | None
    inference_images_per_sec: float | None
    mfu_percent: float | None
    roofline_percent: float | None
    findings: list[dict[str, Any]]
    configuration_hash: str | None
    configuration: dict[str, Any]
    profile: str | None
    mode: str | None
    channels_last: bool | None
    budget_seconds: float | None
    device: str | None
    precision: str | None
    model_source: str | None
    torch_version: str | None
    cuda_version: str | None
    driver_version: str | None
    images: Count | None
    steps: Count | None
    measured_seconds: float | None
    agent_sha256: str | None
    verdict: str
    evidence: list[dict[str, Any]]
    test_duration_seconds: float | None
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    raw_results: dict[str, Any]
    created_at: datetime | None

    @classmethod
    def of(cls, result: Result) -> ResultShape:
        return cls.model_validate(result)


class FigureShape(Shown):
    """
    A figure of a run; `low` to `high` holds it with 95 % confidence. Only figures of one `configuration_hash` may
    be compared. A `value` of null could not be measured, and `detail` says why.
    """

    model_config = ConfigDict(from_attributes=True)

    run_id: UUID
    instance_id: UUID
    name: str
    gpu_index: int | None
    measured_gpu_name: str | None
    value: float | None
    unit: str
    low: float | None
    high: float | None
    configuration_hash: str | None
    configuration: dict[str, Any]
    detail: dict[str, Any]
    at: datetime

    @classmethod
    def of(cls, row: FigureRow) -> FigureShape:
        return cls.model_validate(row)


class TelemetryShape(Shown):
    """One GPU's readings: every `interval_seconds` one, and what they come to."""

    gpu_index: int
    gpu_uuid: str | None
    interval_seconds: float
    readings: int
    columns: list[str]
    rollup: dict[str, dict[str, float]]

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, row: TelemetryRow) -> TelemetryShape:
        return cls.model_validate(row)


class SeriesShape(Shown):
    """One GPU's readings in full: a list for each column, with null for what was not told."""

    gpu_index: int
    interval_seconds: float
    series: dict[str, list[float | None]]

    @classmethod
    def of(cls, row: TelemetryRow) -> SeriesShape:
        """Takes up to a quarter of a second."""
        return cls(
            gpu_index=row.gpu_index,
            interval_seconds=row.interval_seconds,
            series=_series(row.packed),
        )


class ErrorShape(Shown):
    """Why a run did not pass: the catalogue's code and remedy, and what was seen."""

    code: str
    message: str
    remedy: str
    evidence: dict[str, Any]


class RunShape(Shown):
    """
    A run. `not_before`: its machine was busy, or its supplier's hour was used up, and it is tried then. `cancel_requested_at` on an unfinished
    run: it is being ended on the machine.
    """

    id: UUID
    instance_id: UUID
    requested_by: str
    options: Options
    state: str
    finished: bool
    attempt: int
    worker: str | None
    last_event_seq: int
    schedule_id: UUID | None
    due_at: datetime | None
    created_at: datetime
    not_before: datetime | None
    claimed_at: datetime | None
    started_at: datetime | None
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    error: ErrorShape | None = None
    result: ResultShape | None = None

    @classmethod
    def of(cls, run: Run, result: Result | None = None) -> RunShape:
        same = (
            *("id", "instance_id", "requested_by", "state", "attempt", "worker", "schedule_id"),
            *("due_at", "created_at", "not_before", "claimed_at", "started_at"),
            *("cancel_requested_at", "finished_at"),
        )
        return cls(
            **{name: getattr(run, name) for name in same},
            options=Options(**run.options),
            finished=run.finished_at is not None,
            last_event_seq=run.last_seq,
            error=_error_of(run.error_code, run.error_message, run.evidence),
            result=ResultShape.of(result) if result else None,
        )

    @classmethod
    def read(cls, text: str) -> RunShape:
        """What `database.told_runs` tells."""
        told = from_json(text)
        told["error"] = _error_of(
            told.pop("error_code"), told.pop("error_message"), told.pop("evidence")
        )
        return cls.model_validate(told)


class EventShape(Shown):
    seq: int
    at: datetime
    t: float | None
    type: str
    body: dict[str, Any]

    @classmethod
    def of(cls, event: RunEvent) -> EventShape:
        return cls(seq=event.seq, at=event.at, t=event.t, type=event.type, body=event.body)


class PageShape(BaseModel, Generic[T]):
    """`next_cursor` continues the list; null on the last page."""

    items: list[T]
    next_cursor: str | None


def _series(packed: bytes) -> dict[str, list[float | None]]:
    """Empty where a machine sent something else than a series: what it comes to is told all the same."""
    try:
        return unpack(packed)
    except ValueError:
        return {}


def _error_of(code: str | None, message: str | None, evidence: dict[str, Any]) -> ErrorShape | None:
    if code is None:
        return None
    known = errors.explain(code)
    return ErrorShape(
        code=code,
        message=message or known.sentence,
        remedy=known.remedy,
        evidence=evidence,
    )
