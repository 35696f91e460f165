"""The agent's packed readings as the orchestrator reads them, and what a hostile machine may try."""

from __future__ import annotations

import base64
import json
import random
import zlib

import pytest

from orchestrator.domain.series import MOST_BYTES, unpack
from remote_agent.machine import series


def test_what_the_agent_packs_is_what_we_read() -> None:
    """Both programs have a decoder of their own, and they agree on random series with gaps."""
    draw = random.Random(7)
    columns = ["seconds", "power_watts", "temperature_celsius", "clock_reasons"]
    rows = [
        [
            n / 10,
            draw.choice([None, draw.randrange(7_000) / 10]),
            float(draw.randrange(90)),
            None,
        ]
        for n in range(500)
    ]
    packed = base64.b64decode(base64.b64encode(series.pack(columns, rows)))
    read = unpack(packed)
    assert list(read) == columns
    assert [list(row) for row in zip(*read.values(), strict=True)] == series.unpack(
        series.pack(columns, rows)
    )[1]
    assert read["power_watts"] == [row[1] for row in rows]


def header(rows: object, columns: object) -> bytes:
    return json.dumps({"rows": rows, "columns": columns}).encode() + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"[" * 100_000,
        header(-1, []),
        header(10**9, [["a", 1]]),
        header(1.5, [["a", 1]]),
        header(True, [["a", 1]]),
        header(1, [["a", 0]]),
        header(1, [["a", "1"]]),
        header(20_000, [["a", 1]] * 40),
        header(1, [["a", 1]] * 41) + b"\x00\x00" * 41,
        header(1, [["a", 1]]),
        header(1, [["a", 1]]) + b"\x01\x09" + b"\x00" * 9,
        header(1, [["a", 1]]) + b"\x01\x02\x00",
        header(0, []) + b"more",
    ],
)
def test_what_is_no_series_is_refused(content: bytes) -> None:
    """Every broken header, cut column and wrong number is a ValueError and nothing worse."""
    with pytest.raises(ValueError):  # noqa: PT011 - which sentence does not matter
        unpack(zlib.compress(content))


def test_a_small_line_can_not_become_a_large_memory() -> None:
    """A stream that would unpack to more than the bound is refused, cut streams and trailers too."""
    bomb = zlib.compress(b"\x00" * (MOST_BYTES + 1))
    assert len(bomb) < 64 * 1024
    for packed in (bomb, bomb[:-4], zlib.compress(header(0, [])) + b"x", b"not zlib"):
        with pytest.raises(ValueError, match="stream"):
            unpack(packed)
