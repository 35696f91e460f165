"""A run that a test tells event by event, past the engine, and a line to the server that can be cut."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg

from tests.dashboard.house import House
from tests.dashboard.seed import fleet

Told = tuple[str, dict[str, Any]]


@dataclass
class LiveRun:
    """An unfinished run, at its benchmark; `tell` commits as a worker does: events and their number together."""

    id: UUID
    user_id: str
    owner: psycopg.Connection[tuple[Any, ...]]
    last_seq: int = 0

    def tell(self, *events: Told, **changes: Any) -> None:
        rows = []
        for kind, body in events:
            self.last_seq += 1
            at = float(self.last_seq)
            rows.append((self.id, self.last_seq, self.user_id, at, kind, json.dumps(body)))
        assignments = "".join(f", {name} = %s" for name in changes)
        with self.owner.transaction(), self.owner.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO gpu_test_events (run_id, seq, user_id, t, type, body) VALUES (%s, %s, %s, %s, %s, %s)",
                rows,
            )
            cursor.execute(
                f"UPDATE gpu_test_runs SET last_seq = %s{assignments} WHERE id = %s",
                (self.last_seq, *changes.values(), self.id),
            )

    def end(self, state: str = "passed", code: str | None = None, **changes: Any) -> None:
        """The last event and the end of the run, in one transaction."""
        body = {"state": state, "code": code, "message": changes.get("error_message")}
        self.tell(("ended", body), state=state, error_code=code, finished_at="now", **changes)


@contextmanager
def live_run(server: House, email: str) -> Iterator[LiveRun]:
    """A new account with an instance that is being tested, and nothing told of the test yet."""
    user_id = server.sign_up(email)
    with server.owner() as owner:
        instance_id = fleet(owner, user_id, count=1, past=2).instances[0]
        yield begin_run(owner, user_id, instance_id)


def begin_run(
    owner: psycopg.Connection[tuple[Any, ...]], user_id: str, instance_id: UUID
) -> LiveRun:
    run_id = uuid4()
    owner.execute(
        "INSERT INTO gpu_test_runs (id, user_id, instance_id, requested_by, state, instance_status,"
        " instance_test_status, claimed_at, launched_at, started_at, worker, attempt, epoch)"
        " VALUES (%s, %s, %s, 'api', 'running', 'active', 'completed', now(), now(), now(), 'worker-1', 1, 1)",
        (run_id, user_id, instance_id),
    )
    return LiveRun(run_id, user_id, owner)


@dataclass
class _Line:
    """One connection; `budget` is how many bytes of an answer with events may still pass, None for any."""

    near: socket.socket
    far: socket.socket
    budget: int | None = None

    def hang_up(self) -> None:
        for end in (self.near, self.far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass
class Cutter:
    """Forwards to a server, and cuts answers with events after some bytes until it has cut `most` of them."""

    address: str
    most: int
    cuts: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    _chance: random.Random = field(default_factory=lambda: random.Random(3))

    def carry(self, line: _Line) -> None:
        """What the browser sends, to the server."""
        with line.near, line.far, suppress(OSError):
            while data := line.near.recv(65_536):
                if b"/events HTTP/1.1" in data and self.cuts < self.most:
                    line.budget = self._chance.randint(700, 2_400)
                line.far.sendall(data)
        line.hang_up()

    def answer(self, line: _Line) -> None:
        with suppress(OSError):
            while data := line.far.recv(65_536):
                if line.budget is not None and len(data) >= line.budget:
                    line.near.sendall(data[: line.budget])
                    self.cuts += 1
                    if self.cuts == self.most:
                        self.done.set()
                    break
                if line.budget is not None:
                    line.budget -= len(data)
                line.near.sendall(data)
        line.hang_up()


@contextmanager
def cutter(server: House, most: int) -> Iterator[Cutter]:
    host, _, port = server.address.removeprefix("http://").partition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cutting = Cutter(f"http://127.0.0.1:{listener.getsockname()[1]}", most)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    line = _Line(near, socket.create_connection((host, int(port))))
                    for carries in (cutting.carry, cutting.answer):
                        threading.Thread(target=carries, args=(line,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield cutting
