"""
What the stand-in benchmark says, from the run's id and nonce alone: the machine plays it, the checker knows it.

Standard library and Python 3.8 only: it travels to the machine inside the agent's archive.
"""

from __future__ import annotations

import json
import random
from typing import Any, Iterator, NamedTuple  # noqa: UP035 - Python 3.8

_WORDS = ("tensor", "Größe", "批次", "naïve", "loss", "épochs", "🙂", "grad", "warm", "Δt")
_A_SECOND = 5
_LONGEST_LOG = 12_000


class Line(NamedTuple):
    """Bytes to write `at` seconds after the start; `torn` after so many bytes by a flush, where not 0."""

    at: float
    data: bytes
    torn: int = 0


def duration(run_id: str, pace: float) -> float:
    """How many seconds a run takes where runs take `pace` seconds on average."""
    return round(pace * random.Random("pace " + run_id).uniform(0.6, 1.4), 3)


def lines(run_id: str, nonce: str, images: int, pace: float) -> list[Line]:
    """All lines but the result, in order."""
    dice = random.Random(run_id + nonce)
    played: list[Line] = []
    seq = 0
    for at, kind, fields in _script(dice, images, duration(run_id, pace)):
        if kind == "log":
            data = fields["text"].encode("utf-8") + b"\n"
        else:
            data = event(nonce, seq, at, kind, fields, ascii_only=dice.random() < 0.5)
            seq += 1
        torn = dice.randrange(1, len(data)) if dice.random() < 0.2 else 0
        played.append(Line(at, data, torn))
    return played


def event(
    nonce: str, seq: int, at: float, kind: str, fields: dict[str, Any], ascii_only: bool = True
) -> bytes:
    """One line of the contract."""
    head = {"v": 1, "nonce": nonce, "seq": seq, "t": at, "type": kind}
    text = json.dumps(dict(head, **fields), ensure_ascii=ascii_only, separators=(",", ":"))
    return text.encode("utf-8") + b"\n"


def events_in(played: list[Line], nonce: str) -> int:
    """How many of the lines are events, which is the number of the next one."""
    return sum(nonce.encode() in line.data for line in played)


def _script(
    dice: random.Random, images: int, seconds: float
) -> Iterator[tuple[float, str, dict[str, Any]]]:
    yield 0.0, "started", {"agent": "stand-in", "python": "3", "platform": "chaos", "boot_id": None}
    yield 0.0, "log", {"text": "a line that belongs to nobody"}
    yield 0.01, "probe", {"gpu_count": 0, "cpu_model": "Prüfstand", "cpu_count": 2, "ram_gb": 1.5}
    steps = max(4, int(seconds * _A_SECOND))
    for step in range(steps):
        at = round(seconds * (step + 1) / (steps + 1), 4)
        done = images * (step + 1) // steps
        rate = round(dice.uniform(1, 9_000), dice.randrange(6))
        fields = {"phase": "measure", "done": done, "total": images, "images_per_sec": rate}
        yield at, "progress", fields
        yield from _beside(dice, at)


def _beside(dice: random.Random, at: float) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """Now and then: a warning, a figure, or text that belongs to no event, some of it long."""
    luck = dice.random()
    if luck < 0.2:
        yield at, "metric", {"name": dice.choice(_WORDS), "value": dice.gauss(0, 1e6), "unit": "µ"}
    elif luck < 0.3:
        yield at, "warning", {"code": "chaos", "message": _text(dice, dice.randrange(1, 3_000))}
    elif luck < 0.5:
        longest = _LONGEST_LOG if dice.random() < 0.1 else 200
        yield at, "log", {"text": _text(dice, dice.randrange(1, longest))}


def _text(dice: random.Random, length: int) -> str:
    words: list[str] = []
    while length > 0:
        words.append(dice.choice(_WORDS))
        length -= len(words[-1]) + 1
    return " ".join(words)
