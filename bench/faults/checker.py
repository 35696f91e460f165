"""
From the evidence to the figures that must be 0. Pure: it reads what was recorded and nothing else.

Each figure is a list of sentences, so that a figure above 0 says what it counted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from bench.faults import transcript
from bench.faults.record import Evidence, Fault, SeenMachine, StoredEvent, StoredRun
from orchestrator.domain.events import Decoder, Event, LogLine

AGENT_TYPES: Final = frozenset(
    {
        *("started", "probe", "provision", "progress", "sample"),
        *("metric", "warning", "result", "failed", "log", "refused"),
    }
)
KILLS: Final = ("kills", "failpoints")
# A line that stalls makes an honest machine's clock disagree with ours (docs/decisions.md).
STALLS: Final = frozenset({"freeze", "throttle", "part", "cancel-parted", "loss"})
_UNJUDGED: Final = ("inconclusive", "clock_disagrees")
_MISLED: Final = ("failed", "host_key_changed")
_HEEDED_SECONDS: Final = 15.0  # what a worker was about to write when the wish came, it may write
# sshd names the user only once one was claimed in an authentication request.
_AUTHENTICATION: Final = re.compile(
    r"Accepted |Failed |Postponed |Partial |authenticating user|invalid user|Invalid user", re.M
)
_IMAGES: Final = 1024  # of the default options, by which the harness asks
_Plain = tuple[str, float | None, Any]


@dataclass
class Findings:
    """What must be empty, and how long it took until killed workers' runs were attached to again."""

    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    authentications: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)  # by a product that was right not to
    reattached: list[float] = field(default_factory=list)
    recovered: list[float] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The figures by name, in the order in which they are told."""
        names = ("lost", "duplicates", "orphans", "folders", "stuck", "differing")
        return {name: len(getattr(self, name)) for name in names}

    @property
    def clean(self) -> bool:
        return not any(self.counts.values()) and not self.overlaps and not self.authentications

    @property
    def reattach_p99(self) -> float | None:
        return percentile(self.reattached, 0.99)

    @property
    def recovered_p99(self) -> float | None:
        return percentile(self.recovered, 0.99)


def check(evidence: Evidence) -> Findings:
    """Everything that is wrong with `evidence`."""
    found = Findings()
    machines = {machine.instance_id: machine for machine in evidence.machines}
    known = {run.id for run in evidence.runs}
    found.lost += [f"{run_id}: accepted, and unknown" for run_id in evidence.accepted - known]
    for run in evidence.runs:
        machine = machines.get(run.instance_id, SeenMachine(run.instance_id))
        _check_ending(run, evidence.faults, found)
        _check_once(run, machine, found)
        if run.finished:
            found.differing += [f"{run.id}: {how}" for how in differences(run, machine)]
    unfinished = {run.id for run in evidence.runs if not run.finished}
    for machine in evidence.machines:
        _check_left(machine, unfinished, found)
    for line in evidence.impostor_log.splitlines():
        if _AUTHENTICATION.search(line):
            found.authentications.append(line)
    found.reattached = reattach_times(evidence)
    found.recovered = [
        max(fault.detail["ready_s"], fault.detail["at_work_s"])
        for fault in evidence.faults
        if fault.kind == "pg-stops" and fault.effective and "at_work_s" in fault.detail
    ]
    return found


def percentile(samples: list[float], share: float) -> float | None:
    """The nearest-rank percentile, None of nothing."""
    if not samples:
        return None
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _check_ending(run: StoredRun, faults: tuple[Fault, ...], found: Findings) -> None:
    if not run.finished:
        found.stuck.append(f"{run.id}: {run.state}, epoch {run.epoch}{_tail(run)}")
        return
    wish = _wish_to_cancel(run, faults)
    met = {fault.action for fault in faults if _met(run, fault)}
    told = f"{run.id}: {run.state} {run.error_code} ({run.error_message}){_tail(run)}"
    if run.state == "passed":
        if not run.results:
            found.lost.append(f"{run.id}: passed without a result")
        if wish is not None and _seconds_after(wish, run) > _HEEDED_SECONDS:
            found.lost.append(f"{run.id}: passed, long after it was cancelled")
    elif run.state == "cancelled" and wish is not None:
        if run.results:
            found.lost.append(f"{run.id}: cancelled, with a result")
    elif (run.state, run.error_code) == _UNJUDGED and met & STALLS:
        found.unjudged.append(told)
        if not run.results:
            found.lost.append(f"{run.id}: unjudged without a result")
    # Whoever meets an impostor is right to stop.
    elif (run.state, run.error_code) != _MISLED or "impostor" not in met:
        found.lost.append(told)


def _met(run: StoredRun, fault: Fault) -> bool:
    """Whether the fault was upon the run's machine while the run was live."""
    if not run.events or fault.target != run.instance_id:
        return False
    begun, ended = run.events[0].at, run.events[-1].at
    return fault.at <= ended and (fault.until is None or begun <= fault.until)


def _wish_to_cancel(run: StoredRun, faults: tuple[Fault, ...]) -> Fault | None:
    return next((f for f in faults if f.kind == "cancels" and f.detail.get("run") == run.id), None)


def _seconds_after(wish: Fault, run: StoredRun) -> float:
    """From the answer to a wish to the run's end; 0 where no answer came."""
    answered = wish.detail.get("answered")
    if answered is None or not run.events:
        return 0.0
    return float((run.events[-1].at - answered).total_seconds())


def _check_once(run: StoredRun, machine: SeenMachine, found: Findings) -> None:
    starts = machine.starts.count(run.id)
    ends = sum(event.type == "ended" for event in run.events)
    if run.results > 1:
        found.duplicates.append(f"{run.id}: {run.results} results")
    if starts > 1:
        found.duplicates.append(f"{run.id}: started {starts} times")
    if ends > 1:
        found.duplicates.append(f"{run.id}: ended {ends} times")
    said = Counter(
        (event.type, event.t, repr(event.body))
        for event in run.events
        if event.type in AGENT_TYPES and event.type not in ("log", "refused")
    )
    twice = sum(1 for count in said.values() if count > 1)
    if twice:
        found.duplicates.append(f"{run.id}: {twice} events are stored twice")


def _check_left(machine: SeenMachine, unfinished: set[str], found: Findings) -> None:
    for run_id in machine.overlaps:
        found.overlaps.append(f"{run_id}: began beside another on {machine.instance_id}")
    for folder in machine.folders:
        if folder not in unfinished:
            found.folders.append(f"{folder} on {machine.instance_id}")
    for survivor in machine.survivors:
        if survivor.run_id is None or survivor.run_id not in unfinished:
            found.orphans.append(f"{survivor.pid} of run {survivor.run_id}: {survivor.command}")


def differences(run: StoredRun, machine: SeenMachine) -> list[str]:
    """
    Where what is stored is not what the machine said, or that is not the run's transcript. Of a run that was
    ended before its time both may stop early, and nothing else.
    """
    whole = bool(run.results)
    said = machine.said.get(run.id, b"")
    if whole and not said:
        return ["the machine has said nothing"]
    told = []
    played = b"".join(
        line.data for line in transcript.lines(run.id, run.nonce, _IMAGES, machine.pace)
    )
    if not said.startswith(played) and (whole or not played.startswith(said)):
        told.append("the machine did not say its transcript")
    if run.remote_offset > len(said) or (whole and run.remote_offset != len(said)):
        told.append(f"offset {run.remote_offset} of {len(said)} bytes")
    expected = expected_events(run.nonce, said)
    stored = [_plain(event) for event in run.events if event.type in AGENT_TYPES]
    if stored != (expected if whole else expected[: len(stored)]):
        told.append(_where(expected, stored))
    numbers = [event.seq for event in run.events]
    if numbers != list(range(1, len(numbers) + 1)):
        told.append("event numbers have a gap")
    return told


def _where(expected: list[_Plain], stored: list[_Plain]) -> str:
    pairs = zip(expected, stored, strict=False)
    at = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(stored)))
    return (
        f"{len(stored)} events stored of {len(expected)} said; number {at} differs: "
        f"{_shown(expected, at)} was said, {_shown(stored, at)} is stored"
    )


def expected_events(nonce: str, said: bytes) -> list[_Plain]:
    """What an undisturbed reader would store of the machine's words."""
    decoder = Decoder(nonce)
    expected: list[_Plain] = []
    for item in [*decoder.feed(said), *decoder.flush()]:
        if isinstance(item, Event):
            body = item.body.model_dump(mode="json", exclude={"type"})
            expected.append((item.body.type, item.t, body))
        elif isinstance(item, LogLine):
            expected.append(("log", None, {"text": item.text}))
        else:
            expected.append(("refused", None, {"reason": item.reason, "text": item.excerpt}))
    return expected


def reattach_times(evidence: Evidence) -> list[float]:
    """
    Seconds from a signal to the moment its runs were followed again, for each run that was.

    Left out: runs that another fault hit in between, since then the wait is that one's.
    """
    by_run: dict[str, list[Fault]] = {}
    for fault in evidence.faults:
        for run_id in fault.runs if fault.effective else ():
            by_run.setdefault(run_id, []).append(fault)
    times = []
    for run in evidence.runs:
        hits = by_run.get(run.id, [])
        for hit in hits:
            if hit.kind not in KILLS or hit.action not in ("kill", "stop", "crash"):
                continue
            again = next((e.at for e in run.events if _is_following(e) and e.at > hit.at), None)
            if again is None or any(_overlaps(other, hit, again) for other in hits):
                continue
            times.append((again - hit.at).total_seconds())
    return times


def _overlaps(other: Fault, hit: Fault, again: Any) -> bool:
    return other is not hit and other.at < again and (other.until or other.at) > hit.at


def _is_following(event: StoredEvent) -> bool:
    return event.type == "state" and event.body.get("state") == "running"


def _plain(event: StoredEvent) -> _Plain:
    return event.type, event.t, event.body


def _shown(events: list[_Plain], at: int) -> str:
    return repr(events[at])[:200] if at < len(events) else "nothing"


def _tail(run: StoredRun) -> str:
    last = [f"{event.type} {str(event.body)[:120]}" for event in run.events[-4:]]
    return "; last: " + " | ".join(last) if last else ""
