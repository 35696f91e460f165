"""The second half of `launch`: print what a run says until it has ended or nobody listens."""

import json
import os
import select
from typing import Optional

from remote_agent import spec
from remote_agent.output import Answers, write_all
from remote_agent.run_folder import RunFolder

_POLL_SECONDS = 0.05
_WRITE_BYTES = 65_536
_TAIL_BYTES = 4096


def follow(folder: RunFolder, offset: int, answers: Answers) -> None:
    """
    Prints events.ndjson from byte `offset` on, then one line `end` on stderr.

    Returns without that line when stdin ends: the connection is gone. Raises `BrokenPipeError`.
    """
    limit = _limit(folder)
    events = _open(folder)
    while True:
        # Asked before the bytes are read: what an ended run has written is all there by then.
        ending = folder.read_exit()
        loss = None if ending else _loss(folder, events)
        if loss:
            ending = folder.read_exit()  # it may have ended between the two looks
        offset = _copy(events, offset, limit)
        if ending is not None or loss:
            break
        if _nobody_listens():
            return
    ending = ending or {"reason": loss}
    size = 0 if events is None else min(os.fstat(events).st_size, limit)
    end = {
        "status": ending.get("status"),
        "signal": ending.get("signal"),
        "reason": ending.get("reason"),
        "bytes": size,
        "stderr_tail": _tail(folder.stderr),
        "rebooted": folder.rebooted(),
    }
    answers.say("end " + json.dumps(end), fd=2)


def _limit(folder: RunFolder) -> int:
    """Bytes of events.ndjson that count; a flood that outran the supervisor goes no further."""
    try:
        with open(folder.spec, encoding="utf-8") as file:
            return spec.parse(file.read()).events_bytes
    except (OSError, ValueError):
        return spec.EVENTS_BYTES


def _open(folder: RunFolder) -> Optional[int]:
    try:
        return os.open(folder.events, os.O_RDONLY)
    except OSError:
        return None


def _loss(folder: RunFolder, events: Optional[int]) -> Optional[str]:
    """Why no exit file will ever come, None while one may."""
    if events is None or not folder.holds(events):
        return "folder_lost"
    if folder.rebooted():
        return "host_rebooted"
    if folder.supervisor() is None:
        return "supervisor_lost"
    return None


def _copy(events: Optional[int], offset: int, limit: int) -> int:
    """Prints what lies between `offset` and the end or `limit`; returns the new offset."""
    while events is not None and offset < limit:
        piece = os.pread(events, min(_WRITE_BYTES, limit - offset), offset)
        if not piece:
            break
        write_all(1, piece)
        offset += len(piece)
    return offset


def _nobody_listens() -> bool:
    """Waits a moment for stdin to end. What is typed there is not for us."""
    if not select.select([0], [], [], _POLL_SECONDS)[0]:
        return False
    try:
        return not os.read(0, 65_536)
    except OSError:
        return True


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
