"""Records made by hand: a clean one, from which each test breaks one thing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bench.faults import transcript
from bench.faults.checker import Findings, check, expected_events
from bench.faults.record import Evidence, Fault, SeenMachine, StoredEvent, StoredRun

RUN: Final = "11111111-1111-4111-8111-111111111111"
MACHINE: Final = "22222222-2222-4222-8222-222222222222"
NONCE: Final = "0123456789abcdef"
PACE: Final = 2.0
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_IMAGES: Final = 1024


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def said() -> bytes:
    """The run's transcript and its result, as the stand-in says them."""
    played = transcript.lines(RUN, NONCE, _IMAGES, PACE)
    fields: dict[str, Any] = {
        "test_type": "resnet50",
        "batch_size": 64,
        "num_epochs": 1,
        "image_size": 224,
        "throughput_samples_per_sec": 500.0,
        "throughput_images_per_sec": 500.0,
        "latency_ms": 128.0,
        "test_duration_seconds": 2.0,
        "images": _IMAGES,
        "steps": 16,
        "measured_seconds": 2.0,
        "device": "cpu",
        "gpu_count": 0,
        "precision": "fp32",
        "model_source": "builtin",
        "parameters": 25_557_032,
        "torch_version": "0",
    }
    seq = transcript.events_in(played, NONCE)
    result = transcript.event(NONCE, seq, 2.0, "result", fields)
    return b"".join(line.data for line in played) + result


def events(*, ended: str = "passed", words: int | None = None) -> tuple[StoredEvent, ...]:
    """A run's stored story: `running`, the machine's first `words` words (all of them for None), its end."""
    told = expected_events(NONCE, said())[:words]
    story: list[tuple[str, float | None, Any]] = [
        ("state", None, {"state": "running"}),
        *told,
        ("ended", None, {"state": ended}),
    ]
    return tuple(
        StoredEvent(seq=number, type=kind, body=body, t=t, at=after(number * 0.01))
        for number, (kind, t, body) in enumerate(story, 1)
    )


@dataclass
class Record:
    """Evidence with one run on one machine, without a fault in it."""

    run: StoredRun = field(
        default_factory=lambda: StoredRun(
            id=RUN,
            instance_id=MACHINE,
            nonce=NONCE,
            state="passed",
            finished=True,
            remote_offset=len(said()),
            results=1,
            events=events(),
        )
    )
    machine: SeenMachine = field(
        default_factory=lambda: SeenMachine(
            instance_id=MACHINE, starts=(RUN,), said={RUN: said()}, pace=PACE
        )
    )
    faults: tuple[Fault, ...] = ()
    accepted: frozenset[str] = frozenset({RUN})
    impostor_log: str = ""

    def with_run(self, **changes: Any) -> Record:
        return replace(self, run=replace(self.run, **changes))

    def with_machine(self, **changes: Any) -> Record:
        return replace(self, machine=replace(self.machine, **changes))

    def with_faults(self, *faults: Fault) -> Record:
        return replace(self, faults=faults)

    def findings(self) -> Findings:
        evidence = Evidence(
            (self.run,), (self.machine,), self.faults, self.accepted, self.impostor_log
        )
        return check(evidence)
