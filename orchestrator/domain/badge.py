"""
A badge for a README or a listing elsewhere: flat, 20 pixels high, an SVG that needs nothing but itself.

What it says of a GPU comes from a machine that we do not trust and is shown on pages that are not ours: visible
ASCII is all that gets in, so that neither markup nor a letter that only looks like another one does.
"""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape

_LABEL: Final = "Harborx verified"
_LONGEST: Final = 40  # characters of a GPU's name
_PADDING: Final = 6
# Widths of Verdana at 11 pixels; `textLength` makes any other font take as much room.
_NARROW, _USUAL, _WIDE = 4.0, 6.9, 8.8
_NARROW_ONES: Final = frozenset(" !'(),-./:;I[]fijlrt|")
_WIDE_ONES: Final = frozenset("%@GMNOQWmw+<=>~#")

_SVG: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{said}">'
    "<title>{said}</title>"
    '<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>'
    '<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#444"/>'
    '<rect x="{left}" width="{right}" height="20" fill="#0b6b3a"/></g>'
    '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
    '<text x="{left_middle}" y="14" textLength="{left_text}">{label}</text>'
    '<text x="{right_middle}" y="14" textLength="{right_text}">{value}</text></g></svg>'
)


def badge(gpu_name: str | None, images_per_sec: float | None) -> str:
    """`Harborx verified | NVIDIA H100 · 2,450 img/s`, without what is not known."""
    parts = [visible(gpu_name or "")]
    if images_per_sec is not None:
        parts.append(f"{images_per_sec:,.{1 if images_per_sec < 10 else 0}f} img/s")
    value = " · ".join(part for part in parts if part) or "GPU"
    left_text, right_text = _width(_LABEL), _width(value)
    left, right = left_text + 2 * _PADDING, right_text + 2 * _PADDING
    return _SVG.format(
        width=left + right,
        left=left,
        right=right,
        left_middle=left / 2,
        right_middle=left + right / 2,
        left_text=left_text,
        right_text=right_text,
        label=_LABEL,
        value=escape(value),
        said=escape(f"{_LABEL}: {value}", {'"': "&quot;"}),
    )


def visible(name: str) -> str:
    """The name's visible ASCII on one line, with `?` where there was something else; at most 40 characters."""
    shown = re.sub(r"[^ -~]+", "?", " ".join(name[: 4 * _LONGEST].split()))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _width(text: str) -> int:
    return round(
        sum(
            _NARROW if each in _NARROW_ONES else _WIDE if each in _WIDE_ONES else _USUAL
            for each in text
        )
    )
