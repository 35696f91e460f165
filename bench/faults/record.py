"""What was seen: the rows of the database, what lies on the machines, and the faults that hit them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class StoredEvent:
    seq: int
    type: str
    body: dict[str, Any]
    t: float | None
    at: datetime


@dataclass(frozen=True)
class StoredRun:
    """A run as the database has it at the end; `results` counts its rows in gpu_test_results."""

    id: str
    instance_id: str
    nonce: str
    state: str
    finished: bool
    error_code: str | None = None
    error_message: str | None = None
    epoch: int = 1
    remote_offset: int = 0
    results: int = 0
    events: tuple[StoredEvent, ...] = ()


@dataclass(frozen=True)
class Survivor:
    """A process on a machine that belongs to a run, or to the agent of the machine's home."""

    pid: int
    run_id: str | None
    command: str


@dataclass(frozen=True)
class SeenMachine:
    """What a machine has of us at the end. `said` is the stand-in's own copy of each run's output."""

    instance_id: str
    starts: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    survivors: tuple[Survivor, ...] = ()
    said: dict[str, bytes] = field(default_factory=dict)
    pace: float = 10.0


@dataclass
class Fault:
    """
    One fault: what it was meant to hit, and whether it really hit a live run. `runs` are those it hit;
    `until` is when it was over, for a fault that lasts.
    """

    kind: str
    action: str
    at: datetime
    target: str = ""
    effective: bool = False
    runs: tuple[str, ...] = ()
    until: datetime | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """
    All that the checker judges. `accepted`: the runs that an answer of the API promised;
    `impostor_log`: what the impostor's sshd told; `reached`: the failpoints that some worker passed.
    """

    runs: tuple[StoredRun, ...]
    machines: tuple[SeenMachine, ...]
    faults: tuple[Fault, ...]
    accepted: frozenset[str] = frozenset()
    impostor_log: str = ""
    reached: frozenset[str] = frozenset()
