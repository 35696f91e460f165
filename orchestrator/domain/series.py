"""
The packed readings of an agent, unpacked: the format stands in docs/agent-contract.md.

The bytes come from a machine we do not trust: what they may grow to is bounded, and whatever does not fit the format
is a `ValueError`.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

MOST_BYTES: Final = 16 * 2**20  # unpacked; a line of 64 KiB could claim a thousand times its size
MOST_ROWS: Final = 20_000
MOST_COLUMNS: Final = 40
MOST_VALUES: Final = 400_000

Column = list[float | None]


def unpack(packed: bytes) -> dict[str, Column]:
    """The columns by name, each with a value or None a row. Raises `ValueError`."""
    content = _inflated(packed)
    line, newline, rest = content.partition(b"\n")
    if not newline:
        raise ValueError("no header")
    rows, described = _header(line)
    columns: dict[str, Column] = {}
    for name, scale in described:
        columns[name], rest = _column(rest, rows, scale)
    if rest:
        raise ValueError("bytes are left after the last column")
    return columns


def _inflated(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(packed, MOST_BYTES)
    except zlib.error as error:
        raise ValueError("not a zlib stream") from error
    if not inflater.eof or inflater.unused_data:
        raise ValueError("the stream is cut, too long, or followed by something")
    return content


def _header(line: bytes) -> tuple[int, list[tuple[str, int]]]:
    try:
        told: Any = json.loads(line.decode("ascii"))
        rows = told["rows"]
        columns = [(str(name), scale) for name, scale in told["columns"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("the header is not a header") from error
    scales = [scale for _, scale in columns]
    whole = all(type(number) is int for number in (rows, *scales))
    if not whole or not 0 <= rows <= MOST_ROWS or len(columns) > MOST_COLUMNS:
        raise ValueError("the header's numbers are out of bounds")
    if rows * len(columns) > MOST_VALUES:
        raise ValueError("more values than a measurement has")
    if any(not 1 <= scale <= 10**9 for scale in scales):
        raise ValueError("a scale is out of bounds")
    return rows, columns


def _column(content: bytes, rows: int, scale: int) -> tuple[Column, bytes]:
    map_bytes = (rows + 7) // 8
    if len(content) <= map_bytes:
        raise ValueError("a column is cut")
    there = [bool(content[row // 8] >> row % 8 & 1) for row in range(rows)]
    count, width = sum(there), content[map_bytes]
    planes = content[map_bytes + 1 : map_bytes + 1 + count * width]
    if width > 8 or len(planes) < count * width:
        raise ValueError("a column is cut, or wider than 8 bytes")
    numbers = iter(_values(planes, count, width, scale))
    column = [next(numbers) if known else None for known in there]
    return column, content[map_bytes + 1 + count * width :]


def _values(planes: bytes, count: int, width: int, scale: int) -> list[float]:
    values: list[float] = []
    total = 0
    for place in range(count):
        zigzag = sum(planes[plane * count + place] << 8 * plane for plane in range(width))
        total += zigzag >> 1 if zigzag % 2 == 0 else -((zigzag + 1) >> 1)
        values.append(total / scale)
    return values
