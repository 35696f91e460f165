"""
Readings packed into few bytes, for the one event that carries a whole measurement. Pure.

The format, so that another program can read it:

1. The text is base64 (standard alphabet, padded) of one zlib stream. Its content is, in this order:
2. A header: one line of JSON in ASCII, ended by a newline (0x0A):
   {"rows": R, "columns": [["power_watts", 10], ...]}. R counts the rows; each column has its name and
   its scale, a whole number that is at least 1. Columns follow one after the other in this order.
3. Of each column first the map of its nulls: ceil(R / 8) bytes; bit i % 8 (0 is the lowest) of byte
   i // 8 is 1 where row i has a value. Unused bits of the last byte are 0. K counts the ones.
4. Then one byte W, from 0 to 8: the bytes that each number takes. It is 0 where K is 0.
5. Then W planes of K bytes: plane p holds byte p (0 is the lowest) of each of the K numbers, in the
   order of the rows. So number k is the sum of plane[p][k] * 256^p, an unsigned whole number u.
6. Each u is a difference d in zigzag: d = u / 2 where u is even, else -(u + 1) / 2.
7. The first value's whole number is its d, each further one is the one before it (nulls are skipped)
   plus its d. The value itself is the whole number divided by the column's scale.
8. Nothing follows the last column. Rows are in the order of time; decimation has left out rows evenly.
"""

import array
import base64
import json
import sys
import zlib
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from remote_agent.series_measures import percentile

Row = Sequence[Optional[float]]

MOST_CHARACTERS = 48_000
"""Of base64: the event's line has to stay under 64 KiB."""

# Finer than any card measures: its power is exact to some watts, and the thousandths that it tells are noise, which takes
# most of the bytes. A sum of energy is never off by more than a part.
_SCALES = {"seconds": 100, "power_watts": 10, "energy_joules": 1, "memory_used_gb": 1024}
_MOST_ROWS = 16_384  # packed at once; more would not fit anyhow, and packing takes time
_LARGEST = 2**62
_WIDTH = 8
_NOT_ROLLED_UP = ("seconds", "clock_reasons")  # the mean of a time or of a bit mask says nothing


class Packed(NamedTuple):
    """Base64 of every `stride`-th row of `columns`."""

    text: str
    columns: List[str]
    stride: int


def pack(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """
    The rows as bytes, each value exact to one part of its column's scale (10: tenths).

    Raises `ValueError` for a number that is not finite or beyond 2^62 parts.
    """
    scaled = [(name, _SCALES.get(name, 1)) for name in columns]
    header = json.dumps({"rows": len(rows), "columns": scaled})
    parts = [header.encode("ascii") + b"\n"]
    for place, (_, scale) in enumerate(scaled):
        column = [row[place] for row in rows]
        parts.append(_null_map(column))
        parts.append(_planes([_whole(value, scale) for value in column if value is not None]))
    return zlib.compress(b"".join(parts), 9)


def unpack(packed: bytes) -> Tuple[List[str], List[List[Optional[float]]]]:
    """The columns and rows of what `pack` has made. Raises `ValueError` or `zlib.error` for anything else."""
    content = zlib.decompress(packed)
    header, _, rest = content.partition(b"\n")
    described = json.loads(header)
    count = described["rows"]
    columns: List[List[Optional[float]]] = []
    for _, scale in described["columns"]:
        column, rest = _unpacked_column(rest, count, scale)
        columns.append(column)
    if rest:
        raise ValueError(f"{len(rest)} bytes are left after the last column")
    names = [name for name, _ in described["columns"]]
    return names, [[column[n] for column in columns] for n in range(count)]


def fitting(columns: Sequence[str], rows: Sequence[Row], most: int = MOST_CHARACTERS) -> Packed:
    """At most `most` characters of base64: every row, else every 2nd, 4th ...; empty columns are left out."""
    used = [n for n in range(len(columns)) if any(row[n] is not None for row in rows)]
    names = [columns[n] for n in used]
    stride = 1
    while True:
        kept = [[row[n] for n in used] for row in rows[::stride]]
        if len(kept) <= _MOST_ROWS:
            text = base64.b64encode(pack(names, kept)).decode("ascii")
            if len(text) <= most or len(kept) <= 1:
                return Packed(text, names, stride)
        stride *= 2


def rollup(columns: Sequence[str], rows: Sequence[Row]) -> Dict[str, Dict[str, float]]:
    """min, mean, p95 and max of each column that has values; of all rows."""
    found: Dict[str, Dict[str, float]] = {}
    for place, name in enumerate(columns):
        values = [value for value in (row[place] for row in rows) if value is not None]
        if values and name not in _NOT_ROLLED_UP:
            figures = {
                "min": min(values),
                "mean": sum(values) / len(values),
                "p95": percentile(values, 0.95),
                "max": max(values),
            }
            found[name] = {word: round(figure, 4) for word, figure in figures.items()}
    return found


def _whole(value: float, scale: int) -> int:
    try:
        number = round(value * scale)
    except OverflowError as error:
        raise ValueError(f"{value} can't be packed") from error
    if abs(number) >= _LARGEST:
        raise ValueError(f"{value} can't be packed")
    return number


def _null_map(column: Sequence[Optional[float]]) -> bytes:
    bits = bytearray((len(column) + 7) // 8)
    for place, value in enumerate(column):
        if value is not None:
            bits[place // 8] |= 1 << place % 8
    return bytes(bits)


def _planes(numbers: List[int]) -> bytes:
    steps: List[int] = []
    before = 0
    for number in numbers:
        step, before = number - before, number
        steps.append(2 * step if step >= 0 else -2 * step - 1)
    width = (max(steps, default=0).bit_length() + 7) // 8
    if steps:
        width = max(1, width)
    raw = _words(array.array("Q", steps).tobytes()).tobytes()
    return bytes([width]) + b"".join(raw[plane::_WIDTH] for plane in range(width))


def _unpacked_column(rest: bytes, rows: int, scale: int) -> Tuple[List[Optional[float]], bytes]:
    """One column from the front of `rest`, and what follows it."""
    bits, rest = rest[: (rows + 7) // 8], rest[(rows + 7) // 8 :]
    if not rest:
        raise ValueError("a column is missing")
    known = [bool(bits[n // 8] >> n % 8 & 1) for n in range(rows)]
    count, width, rest = sum(known), rest[0], rest[1:]
    if len(rest) < count * width:
        raise ValueError("the last column is torn")
    raw = bytearray(_WIDTH * count)
    for plane in range(width):
        raw[plane::_WIDTH] = rest[plane * count : (plane + 1) * count]
    numbers: List[int] = []
    for step in _words(bytes(raw)):
        before = numbers[-1] if numbers else 0
        numbers.append(before + (step >> 1 if step % 2 == 0 else -(step + 1 >> 1)))
    values = iter(numbers)
    return [next(values) / scale if there else None for there in known], rest[count * width :]


def _words(raw: bytes) -> "array.array[int]":
    """Numbers of eight bytes, the lowest first: this machine's own, or turned round from them."""
    words = array.array("Q", raw)
    if sys.byteorder == "big":
        words.byteswap()
    return words
