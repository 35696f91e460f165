"""A badge is well-formed and shows what it says, whatever a machine calls its GPU."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.badge import badge

SVG = "{http://www.w3.org/2000/svg}"


def shown(drawn: str) -> list[str]:
    """The texts of a badge; fails where it is no XML."""
    return [each.text or "" for each in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("name", "rate", "value"),
    [
        ("NVIDIA H100", 2450.4, "NVIDIA H100 · 2,450 img/s"),
        ("CPU", 3.14, "CPU · 3.1 img/s"),
        (None, 100, "100 img/s"),
        ("NVIDIA H100", None, "NVIDIA H100"),
        (None, None, "GPU"),
    ],
)
def test_a_badge_says_what_was_measured(name: str | None, rate: float | None, value: str) -> None:
    """The label, and what is known of the card and its rate; a title says the same to who can't see it."""
    drawn = badge(name, rate)
    assert shown(drawn) == ["Harborx verified", value]
    root = ElementTree.fromstring(drawn)
    assert root.findtext(f"{SVG}title") == f"Harborx verified: {value}"
    assert root.get("height") == "20"


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("</text><script>alert(1)</script>", "</text><script>alert(1)</script>"),
        ('"/><image href="x" onerror="alert(1)', '"/><image href="x" onerror="alert(1)'),
        ("&amp; &#60;b&#62; ]]>", "&amp; &#60;b&#62; ]]>"),
        ("H100\u202e002B", "H100?002B"),  # would be read from right to left
        ("A\x00B\x1b[31mC\ufffe\ud800", "A?B?[31mC?"),  # XML can't hold these
        ("line\r\n\tbreak\u2028s", "line break s"),
        ("NV\u0406DIA H1\u200b00", "NV?DIA H1?00"),  # a Cyrillic letter, a space of no width
        ("H1\u03360\u03360", "H1?0?0"),
        ("{label} {0} %s", "{label} {0} %s"),
        ("x" * 5000, "x" * 37 + "..."),
    ],
)
def test_a_hostile_name_is_text(hostile: str, harmless: str) -> None:
    """Markup, controls, directions and look-alikes are shown for what they are and do nothing."""
    assert shown(badge(hostile, None)) == ["Harborx verified", harmless]


@given(st.text(), st.none() | st.floats(0, 1e7))
def test_any_name_leaves_a_badge_whole(name: str, rate: float | None) -> None:
    """Whatever the name, it is the same few elements, of visible characters, as wide as its two halves."""
    drawn = badge(name, rate)
    root = ElementTree.fromstring(drawn)
    kinds = [each.tag.removeprefix(SVG) for each in root.iter()]
    assert kinds == ["svg", "title", "clipPath", "rect", "g", "rect", "rect", "g", "text", "text"]
    assert re.fullmatch(r"[ -~·]*", drawn)
    halves = [float(each.get("width", "")) for each in root.findall(f"{SVG}g/{SVG}rect")]
    assert sum(halves) == float(root.get("width", ""))
    assert len(drawn) < 2000
