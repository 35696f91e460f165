"""Packed readings: what is packed comes back, in few bytes, and never too much of it."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remote_agent.machine import series
from tests.agent.readings import COLUMNS, readings


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 300])
def test_what_is_packed_comes_back(count: int) -> None:
    """Every value returns exact to one part of its column's scale, every null as a null."""
    rows = readings(count)
    columns, unpacked = series.unpack(series.pack(COLUMNS, rows))
    assert columns == COLUMNS
    assert len(unpacked) == len(rows)
    scales = {"seconds": 100, "power_watts": 10, "energy_joules": 1, "memory_used_gb": 1024}
    for row, back in zip(rows, unpacked, strict=True):
        for name, value, found in zip(COLUMNS, row, back, strict=True):
            scale = scales.get(name, 1)
            assert found == (None if value is None else round(value * scale) / scale)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(-(2**61), 2**61), st.none() | st.integers(-9, 9)))
)
def test_any_whole_numbers_come_back(rows: list[tuple[int | None, int | None]]) -> None:
    """Whatever the sign, the size and the nulls; numbers that a float can't hold as that float."""
    rows = [(None if big is None else int(float(big)), small) for big, small in rows]
    _, back = series.unpack(series.pack(["pcie_replays", "processes"], rows))
    assert [tuple(row) for row in back] == rows


def test_the_format_is_the_described_one() -> None:
    """Header, map of nulls, width and planes of zigzag differences, as the docstring has them."""
    packed = series.pack(["power_watts", "processes"], [[100.0, None], [50.0, None], [None, 3]])
    assert zlib.decompress(packed) == (
        b'{"rows": 3, "columns": [["power_watts", 10], ["processes", 1]]}\n'
        # 1000 and -500 are 2000 (0x7D0) and 999 (0x3E7) in zigzag: low bytes first, then high ones.
        + bytes([0b011, 2, 0xD0, 0xE7, 0x07, 0x03])
        + bytes([0b100, 1, 6])
    )


def test_a_reading_takes_at_most_eight_bytes() -> None:
    """Ten columns of a loaded card for ten minutes: at most five bytes a reading, header included."""
    assert len(series.pack(COLUMNS, readings(6000))) / 6000 <= 5
    assert len(series.pack(COLUMNS, readings(600, seed=2))) / 600 <= 5


def test_too_much_is_decimated() -> None:
    """As long as the text is too long every second row goes; what is left are rows of the whole."""
    rows = readings(3000)
    whole = series.fitting(COLUMNS, rows)
    assert whole.stride == 1
    packed = series.fitting(COLUMNS, rows, most=6000)
    assert packed.stride in (4, 8)
    assert len(packed.text) <= 6000
    _, back = series.unpack(base64.b64decode(packed.text))
    assert [row[1] for row in back] == [round(row[1] * 10) / 10 for row in rows[:: packed.stride]]
    day = series.fitting(["power_watts"], [[500.0]] * 864_000)
    assert len(day.text) <= series.MOST_CHARACTERS
    assert day.stride == 64


def test_columns_without_values_are_left_out() -> None:
    """What the card never told has neither a column nor a rollup."""
    rows = [[1.0, None, 4], [2.0, None, 4]]
    columns = ["power_watts", "energy_joules", "clock_reasons"]
    assert series.fitting(columns, rows).columns == ["power_watts", "clock_reasons"]
    assert series.rollup(columns, rows) == {
        "power_watts": {"min": 1.0, "mean": 1.5, "p95": 1.95, "max": 2.0}
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2.0**62])
def test_what_is_no_number_is_refused(value: float) -> None:
    """Nothing is packed that could not come back."""
    with pytest.raises(ValueError, match=r"pack|NaN"):
        series.pack(["processes"], [[value]])


def test_damage_is_noticed() -> None:
    """A stream that is cut or too long is refused."""
    content = zlib.decompress(series.pack(COLUMNS, readings(20)))
    for damaged in (content[:-1], content + b"\0", content[: content.index(b"\n") + 1]):
        with pytest.raises(ValueError, match=r"torn|left|missing"):
            series.unpack(zlib.compress(damaged))
    assert json.loads(content.partition(b"\n")[0])["rows"] == 20
