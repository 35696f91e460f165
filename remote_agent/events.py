"""The stream of events: one JSON object a line, whole, numbered and finite."""

import json
import math
import os
import time
from typing import Any, Optional

from remote_agent.output import write_all

VERSION = 1
_TEXT = 4096
_LINE = 64 * 1024


class EventWriter:
    """
    Writes events to `fd`. `seq` and `start` (seconds of the monotonic clock, which all processes
    of a machine share) carry on a stream that another interpreter has begun.
    """

    def __init__(self, fd: int, nonce: str, seq: int = 0, start: Optional[float] = None) -> None:
        self.fd = fd
        self.seq = seq
        self.start = time.monotonic() if start is None else start
        self._nonce = nonce

    @classmethod
    def on_stdout(cls, nonce: str, seq: int, start: Optional[float]) -> "EventWriter":
        """
        Takes file descriptor 1 for events alone.

        Whatever prints from now on (torch, CUDA, pip) lands on stderr and can't tear a line.
        """
        fd = os.dup(1)
        os.dup2(2, 1)
        return cls(fd, nonce, seq, start)

    def give_back_stdout(self) -> None:
        """Makes file descriptor 1 the events' own again, for what exec turns us into."""
        os.dup2(self.fd, 1)

    def elapsed(self) -> float:
        """Seconds since the benchmark started."""
        return time.monotonic() - self.start

    def emit(self, kind: str, **fields: Any) -> None:
        """Writes one event; numbers that are not finite become null. Raises `OSError`."""
        event = {
            "v": VERSION,
            "nonce": self._nonce,
            "seq": self.seq,
            "t": round(self.elapsed(), 6),
            "type": kind,
        }
        # Readings are packed from numbers to base64, and half of it would be worth nothing.
        event.update(
            (name, value if name == "packed" else _clean(value)) for name, value in fields.items()
        )
        line = json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if len(line) > _LINE:
            raise ValueError(f"an event of type {kind} is {len(line)} bytes long")
        self.seq += 1
        write_all(self.fd, line)


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        # Neither NUL nor half a surrogate pair can be stored in PostgreSQL.
        text = value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
        return text[:_TEXT]
    if isinstance(value, dict):
        return {str(name): _clean(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner) for inner in value]
    return value
