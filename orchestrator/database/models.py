"""
The tables of schema.sql as SQLModel sees them: columns only, no relationships, never `create_all`.

A test compares them with a database made from schema.sql. Column meanings and units stand there and
in docs/agent-contract.md.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Computed, FetchedValue, Float, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from orchestrator.domain.timetable import Misfire


def _json() -> Any:
    return Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


def _id() -> Any:
    return Field(primary_key=True, sa_column_kwargs={"server_default": FetchedValue()})


class Profile(SQLModel, table=True):
    __tablename__ = "profiles"

    id: UUID = _id()
    email: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


class SignIn(SQLModel, table=True):
    """A session of a supplier: its id is in the token."""

    __tablename__ = "sessions"

    id: UUID = _id()
    user_id: UUID
    user_agent: str | None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class SupplierProfile(SQLModel, table=True):
    """The company behind a supplier."""

    __tablename__ = "supplier_profiles"

    id: UUID = _id()
    user_id: UUID
    company_name: str
    legal_business_name: str
    contact_email: str
    contact_phone: str
    business_address: str
    authorized_signatory: str
    signatory_title: str
    infrastructure_description: str | None
    created_at: datetime
    updated_at: datetime


class ApiKey(SQLModel, table=True):
    """Without `secret_hash`, which no tenant may read."""

    __tablename__ = "api_keys"

    id: UUID = _id()
    user_id: UUID | None
    role: str
    name: str
    public_id: str
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    instance_id: UUID | None
    made_by: UUID | None


class InventoryItem(SQLModel, table=True):
    __tablename__ = "gpu_inventory"

    id: UUID = _id()
    user_id: UUID
    gpu_model: str
    quantity: int
    hours_available: float
    status: str
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Instance(SQLModel, table=True):
    __tablename__ = "gpu_instances"

    id: UUID = _id()
    user_id: UUID
    gpu_inventory_id: UUID | None
    vast_instance_id: str
    vast_offer_id: str | None
    vast_machine_id: str | None
    provider: str | None
    location: str | None
    price_per_hour: float | None
    listed: bool
    ssh_host: str
    ssh_port: int
    ssh_user: str
    addressed_at: datetime | None
    host_key: str | None
    host_key_fingerprint: str | None
    host_key_trust: str | None
    host_key_seen_at: datetime | None
    host_key_confirmed_at: datetime | None
    host_key_given: str | None
    host_keys_proved: list[str] | None = Field(sa_column=Column(ARRAY(Text), nullable=True))
    host_key_offered: str | None
    host_key_offered_fingerprint: str | None
    host_key_offered_at: datetime | None
    lets_us_in: bool
    gpu_name: str | None
    gpu_count: int | None
    cuda_version: str | None
    disk_space_gb: float | None
    cpu_count: int | None
    ram_gb: float | None
    status: str
    test_status: str
    tested_at: datetime | None
    attributes: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column("metadata", JSONB, nullable=False)
    )
    created_at: datetime
    updated_at: datetime


class HostAuthority(SQLModel, table=True):
    """Whose certificates name the machines at `hosts`, comma-separated patterns."""

    __tablename__ = "host_authorities"

    id: UUID = _id()
    user_id: UUID
    hosts: str
    public_key: str
    fingerprint: str
    created_at: datetime


class Credential(SQLModel, table=True):
    """
    How we log in to an instance, or, without one, to all of a supplier's that have no login of their own; tenants
    may not read the sealed columns.
    """

    __tablename__ = "gpu_credentials"

    id: UUID = Field(primary_key=True)
    user_id: UUID
    instance_id: UUID | None
    kind: str
    public_key: str
    fingerprint: str
    key_id: str | None = None
    wrapped_key: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    ciphertext: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    created_at: datetime | None = None


class ConnectionCheck(SQLModel, table=True):
    """A look at a machine before it is onboarded; tenants may not read the sealed columns."""

    __tablename__ = "connection_checks"

    id: UUID = Field(primary_key=True)
    user_id: UUID
    ssh_host: str
    ssh_port: int
    ssh_user: str
    login: str
    key_id: str | None = Field(sa_column=Column(Text, nullable=True))
    wrapped_key: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    ciphertext: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    state: str
    host_key: str | None
    steps: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False)
    )
    probe: dict[str, Any] | None = Field(sa_column=Column(JSONB, nullable=True))
    error_code: str | None
    error_message: str | None
    evidence: dict[str, Any] = _json()
    created_at: datetime
    finished_at: datetime | None


class AuditEntry(SQLModel, table=True):
    """Who changed what, and every login to an instance; append-only."""

    __tablename__ = "audit_log"

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, server_default=FetchedValue()))
    user_id: UUID
    at: datetime
    actor: str
    action: str
    subject_id: UUID | None
    instance_id: UUID | None
    detail: dict[str, Any] = _json()


class Schedule(SQLModel, table=True):
    __tablename__ = "gpu_test_schedules"

    id: UUID = Field(primary_key=True)
    user_id: UUID
    instance_id: UUID
    every_hours: int | None
    cron: str | None
    timezone: str
    jitter_seconds: int
    misfire: Misfire = Field(sa_column=Column(Text, nullable=False))
    enabled: bool
    options: dict[str, Any] = _json()
    next_due_at: datetime
    next_fire_at: datetime
    last_due_at: datetime | None
    last_outcome: str | None
    created_at: datetime
    updated_at: datetime


class Firing(SQLModel, table=True):
    __tablename__ = "gpu_test_firings"

    schedule_id: UUID = Field(primary_key=True)
    due_at: datetime = Field(primary_key=True)
    user_id: UUID
    outcome: str
    run_id: UUID | None
    times: int
    last_due_at: datetime
    at: datetime


class IdempotencyKey(SQLModel, table=True):
    __tablename__ = "idempotency_keys"

    user_id: UUID = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    answer: dict[str, Any] = _json()
    created_at: datetime
    expires_at: datetime


class Run(SQLModel, table=True):
    __tablename__ = "gpu_test_runs"

    id: UUID = Field(primary_key=True)
    user_id: UUID
    instance_id: UUID
    requested_by: str
    options: dict[str, Any] = _json()
    state: str
    nonce: str
    epoch: int
    attempt: int
    retries: int
    worker: str | None
    remote_offset: int
    next_agent_seq: int
    last_seq: int
    instance_status: str
    instance_test_status: str
    error_code: str | None
    error_message: str | None
    evidence: dict[str, Any] = _json()
    schedule_id: UUID | None
    due_at: datetime | None
    created_at: datetime
    not_before: datetime | None
    claimed_at: datetime | None
    launched_at: datetime | None
    started_at: datetime | None
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    cleaned_at: datetime | None
    clean_due_at: datetime | None
    clean_attempts: int


class RunEvent(SQLModel, table=True):
    __tablename__ = "gpu_test_events"

    run_id: UUID = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    user_id: UUID
    at: datetime
    t: float | None
    type: str
    body: dict[str, Any] = _json()


class Result(SQLModel, table=True):
    __tablename__ = "gpu_test_results"

    id: UUID = _id()
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
    compute_miles_per_hour: float | None = Field(
        default=None, sa_column=Column(Float, Computed("compute_miles", persisted=True))
    )
    throughput_low: float | None = None
    throughput_high: float | None = None
    variation_percent: float | None = None
    inference_images_per_sec: float | None = None
    mfu_percent: float | None = None
    roofline_percent: float | None = None
    findings: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False)
    )
    configuration_hash: str | None = None
    configuration: dict[str, Any] = _json()
    profile: str | None = None
    mode: str | None = None
    channels_last: bool | None = None
    budget_seconds: float | None = None
    device: str | None
    precision: str | None
    model_source: str | None
    torch_version: str | None
    cuda_version: str | None
    driver_version: str | None
    images: int | None
    steps: int | None
    measured_seconds: float | None
    agent_sha256: str | None
    verdict: str
    evidence: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False)
    )
    test_duration_seconds: float | None
    started_at: datetime | None = None
    completed_at: datetime | None
    error_message: str | None
    raw_results: dict[str, Any] = _json()
    created_at: datetime | None = None


class FigureRow(SQLModel, table=True):
    """A figure of a run; `seq` is the number of the event that told it."""

    __tablename__ = "gpu_test_figures"

    run_id: UUID = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    user_id: UUID
    instance_id: UUID
    name: str
    gpu_index: int | None
    value: float | None
    unit: str
    low: float | None
    high: float | None
    configuration_hash: str | None
    configuration: dict[str, Any] = _json()
    detail: dict[str, Any] = _json()
    measured_gpu_name: str | None
    at: datetime


class TelemetryRow(SQLModel, table=True):
    """One GPU's readings over one run, packed."""

    __tablename__ = "gpu_test_telemetry"

    run_id: UUID = Field(primary_key=True)
    gpu_index: int = Field(primary_key=True)
    user_id: UUID
    gpu_uuid: str | None
    interval_seconds: float
    readings: int
    columns: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    rollup: dict[str, Any] = _json()
    packed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
