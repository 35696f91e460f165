"""Processes that measure beside us: started, ordered about by lines of JSON, and bounded."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import Any, Callable, ContextManager, Dict, Iterable, List, Optional, Sequence

from remote_agent import own_code, processes

Tell = Callable[[str], None]
"""Is told at least once a second what is being done."""

Order = Dict[str, Any]
Answer = Dict[str, Any]
Obey = Callable[[Order], Answer]

_TELL_SECONDS = 0.5
_LEAVE_SECONDS = 5.0
_KILL_SECONDS = 1.0
_ERROR_CHARACTERS = 200


class Lost(Exception):
    """A child that failed, ended or did not answer in time; the text says which."""


class Child:
    """
    One process of ours, started with `arguments` of the agent's own and `environment` on top of ours.

    Must be made by the main thread: the child dies with the thread that started it.
    """

    def __init__(self, arguments: List[str], environment: Dict[str, str]) -> None:
        self._buffer = b""
        # No preexec_fn: torch has threads here. The child ties itself to us as its first act.
        self._process = subprocess.Popen(
            own_code.command(sys.executable, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ, **environment),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self._output = self._process.stdout.fileno()

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """What to wait on for its answer."""
        return self._output

    def order(self, order: Order) -> None:
        """Sends an order. A child that is gone is found out by who waits for the answer."""
        with contextlib.suppress(OSError):
            self._input.write(json.dumps(order).encode() + b"\n")
            self._input.flush()

    def answer(self, limit: float, tell: Tell, text: str) -> Answer:
        """
        The next answer, waited for until the monotonic clock says `limit`; `tell` hears `text` meanwhile.

        Raises `Lost`; the child is then ended.
        """
        try:
            while True:
                line = self._line(limit, tell, text)
                with contextlib.suppress(ValueError):  # what Python itself said while it started
                    found = json.loads(line)
                    if isinstance(found, dict):
                        break
            if "error" in found:
                raise Lost(str(found["error"]))
            return found
        except Lost:
            self.end()
            raise

    def leave(self) -> None:
        """Ends its stdin, which it may take its time to answer by leaving; `end` is to follow."""
        with contextlib.suppress(OSError):
            self._input.close()

    def end(self, seconds: float = _LEAVE_SECONDS) -> None:
        """Has it end within `seconds`, then by force. Can be called twice."""
        self.leave()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            # One that is stuck in the driver can't be waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILL_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _line(self, limit: float, tell: Tell, text: str) -> bytes:
        while b"\n" not in self._buffer:
            tell(text)
            left = limit - time.monotonic()
            # What has come in time counts, however late we get to it.
            if not select.select([self._output], [], [], max(0.0, min(left, _TELL_SECONDS)))[0]:
                if left > 0:
                    continue
                self._process.kill()
                raise Lost("no answer in time")
            piece = os.read(self._output, 65_536)
            if not piece:
                raise Lost(self._farewell())
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _farewell(self) -> str:
        try:
            status: Optional[int] = self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        return f"the process ended with status {status}"


def answers_of_all(family: Sequence[Child], limit: float, tell: Tell, text: str) -> List[Answer]:
    """The next answer of each child, as `Child.answer` has it. Raises `Lost` as soon as one is lost."""
    found: Dict[int, Answer] = {}
    while len(found) < len(family):
        tell(text)
        waiting = [child for child in family if child.pid not in found]
        left = max(0.0, min(limit - time.monotonic(), _TELL_SECONDS))
        ready = select.select(waiting, [], [], left)[0]
        for child in ready or (waiting if time.monotonic() >= limit else ()):
            found[child.pid] = child.answer(limit, tell, text)
    return [found[child.pid] for child in family]


def end_all(family: Iterable[Child]) -> None:
    """Ends several, which have the same few seconds to leave."""
    leaving = list(family)
    for child in leaving:
        child.leave()
    limit = time.monotonic() + _LEAVE_SECONDS
    for child in leaving:
        child.end(max(0.0, limit - time.monotonic()))


def serve(parent: int, prepare: Callable[[], ContextManager[Obey]]) -> int:
    """
    The child's side: prepares, says so, and obeys each order of stdin until that ends.

    Its stdout is for answers alone; what torch, CUDA and NCCL print goes to stderr. Returns the status.
    """
    processes.die_with(parent)
    answers = os.dup(1)
    os.dup2(2, 1)

    def say(answer: Answer) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(answers, json.dumps(answer).encode() + b"\n")

    try:
        with prepare() as obey:
            return _obey_all(obey, say)
    except Exception as error:
        say(_error(error))
        return 1


def _obey_all(obey: Obey, say: Callable[[Answer], None]) -> int:
    say({})
    for line in sys.stdin:
        try:
            say(obey(json.loads(line)))
        except Exception as error:
            say(_error(error))  # at once: to leave a broken group of ranks may take for ever
            return 1
    return 0


def _error(error: Exception) -> Answer:
    return {"error": f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]}
