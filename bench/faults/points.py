"""
Named failpoints, without a line of them in the product: each commit has one before and one after it, named for
the function that opened the transaction, and so has each step on the way to and on a machine.

A case is a file that the parent lays down for an instance; the worker that reaches its point takes the file away
by renaming it, so a case fires exactly once, whichever worker that is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from orchestrator.database.session import Database, Principal, Session
from orchestrator.domain.errors import ConnectionLost, DatabaseUnavailable

ACTIONS: Final = ("crash", "stop", "error")
SWEEP: Final = "sweep"  # the name that stands for an instance where a sweep is meant

# What a commit is named for. Kept by hand, and held against a real run by tests/chaos.
COMMITS: Final = (
    "claim",
    "resume",
    "pin_host_key",
    "append.tell",
    "note",
    "enter.preparing",
    "clean_earlier",
    "enter.running",
    "append.launching",
    "append.store",
    "enter.judging",
    "conclude",
    "clean",
    "clean_run",
    "again_or_end",
    "append.again_or_end",
)
# Passed only where a worker loses a run at the right moment; too rarely to be aimed at.
RARE: Final = (
    *("still_ours", "clean_other", "look_after", "postpone", "withdraw"),
    *("offer", "forget_old", "keep_months"),  # to an impostor; every ten minutes
    "target",  # where it was not loaded by the claim: to end a cancelled run, and for the janitor
    "remember",  # where a machine has got other host keys
)
STEPS: Final = ("first_contact", "connect", "launch", "read", "clean_up")
SWEEPS: Final = (
    *("fire_due", "take_back_stalled", "requeue_lost", "janitor_round"),
    *("forget_keys", "fail_overdue", "poll"),
)
FAILPOINTS: Final = tuple(
    f"{when}{kind}:{name}"
    for kind, names in (("-commit", (*COMMITS, *SWEEPS)), ("", STEPS))
    for name in names
    for when in ("before", "after")
)

_FAR_ENOUGH: Final = 16  # frames

_instance: ContextVar[str | None] = ContextVar("instance", default=None)


@dataclass(frozen=True)
class Case:
    """The `nth` time that a run of `target` reaches `point`, `action` happens."""

    id: str
    target: str
    point: str
    action: str
    nth: int = 1


@dataclass
class Failpoints:
    """The points of one worker process. `folder` has `arms/` and `fired/`; `seen` is what was reached."""

    folder: Path
    worker: str
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    reached_before: set[str] = field(default_factory=set)

    def reach(self, point: str, target: str | None, run_id: str | None = None) -> None:
        """Pass a point, or do what is armed there. May raise, stop or never return."""
        self._tell(point)
        if target is None:
            return
        arm = self.folder / "arms" / f"{target}.json"
        try:
            case = Case(**json.loads(arm.read_text("utf-8")))
        except FileNotFoundError:
            return
        if case.point != point:
            return
        count = self.counts.get((case.id, point), 0) + 1
        self.counts[case.id, point] = count
        if count < case.nth or not self._take(arm, case, run_id):
            return
        _act(case)

    def _take(self, arm: Path, case: Case, run_id: str | None) -> bool:
        fired = self.folder / "fired" / f"{case.id}.json"
        try:
            os.rename(arm, self.folder / "fired" / f"{case.id}.taken")
        except FileNotFoundError:
            return False  # another worker was faster
        told = {"worker": self.worker, "pid": os.getpid(), "at": time.time(), "run_id": run_id}
        draft = fired.with_suffix(".draft")
        draft.write_text(json.dumps({**asdict(case), **told}), "utf-8")
        os.rename(draft, fired)
        return True

    def _tell(self, point: str) -> None:
        if point in self.reached_before:
            return
        self.reached_before.add(point)
        with (self.folder / "reached").open("a", encoding="ascii") as file:
            file.write(point + "\n")


def reached_in(folder: Path) -> frozenset[str]:
    """The points that workers of a world have passed."""
    told = folder / "reached"
    return frozenset(told.read_text("ascii").split()) if told.exists() else frozenset()


def _act(case: Case) -> None:
    if case.action == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif case.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif "-commit:" in case.point:
        raise DatabaseUnavailable(f"Failpoint {case.point}.")
    else:
        raise ConnectionLost(f"Failpoint {case.point}.")


class PointedDatabase(Database):
    """The product's database with a point before and after each commit."""

    points: Failpoints

    def transaction(  # type: ignore[override]
        self, principal: Principal
    ) -> AbstractAsyncContextManager[Session]:
        caller = sys._getframe(1)
        return self._pointed(principal, _name_of(caller), caller)

    @asynccontextmanager
    async def _pointed(
        self, principal: Principal, name: str, caller: FrameType
    ) -> AsyncIterator[Session]:
        async with super().transaction(principal) as session:
            yield session
            run_id = None if name in SWEEPS else _learn_run(caller)
            target = (None if name in SWEEPS else _instance.get()) or SWEEP
            # A case fires at a commit that happens; a body that raised never comes here.
            self.points.reach(f"before-commit:{name}", target, run_id)
        self.points.reach(f"after-commit:{name}", target, run_id)


def reach_step(points: Failpoints, when: str, step: str) -> None:
    """Pass the point `when` (before or after) a step of the current run."""
    points.reach(f"{when}:{step}", _instance.get())


def _name_of(caller: FrameType) -> str:
    """What the product calls the transaction that `caller` opens."""
    name = _plain(caller)
    behind = caller.f_back
    if name != "append":
        return name
    while behind is not None and _plain(behind) == "append":
        behind = behind.f_back
    if behind is None:
        return name
    if _plain(behind) == "enter":
        return f"enter.{behind.f_locals['state']}"
    return f"append.{_plain(behind)}"


def _plain(frame: FrameType) -> str:
    return frame.f_code.co_name.lstrip("_")


def _learn_run(caller: FrameType) -> str | None:
    """
    The run that the product is at work on, from the variables of whoever called; this task remembers its
    instance. None where no run is at hand, as in a sweep.
    """
    frame: FrameType | None = caller
    for _ in range(_FAR_ENOUGH):
        if frame is None:
            return None
        known = frame.f_locals
        run: Any = known.get("run") or getattr(
            known.get("journal") or known.get("self"), "run", None
        )
        if hasattr(run, "instance_id"):
            _instance.set(str(run.instance_id))
            return str(run.id)
        frame = frame.f_back
    return None
