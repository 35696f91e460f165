"""Text from machines and clients is made safe to show, values safe to store."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.sanitise import printable, require_storable, shown


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;ZWNobyBoaQ==\x07after", "after"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9d0;title\x9cafter", "after"),
        ("\x9b31mred", "red"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("\x1bMkept until the bell\x07", "kept until the bell\ufffd"),
        ("\x1bcreset", "creset"),
        ("a\u202eb\u2066c\u200fd\u061ce", "a\ufffdb\ufffdc\ufffdd\ufffde"),
        ("a\x00b\x7fc\x85d\re", "a\ufffdb\ufffdc\ufffdd\ufffde"),
        ("a\u200bb\u2060c\ufeffd\U000e0041e", "a\ufffdb\ufffdc\ufffdd\ufffde"),
        ("one\u2028two\u2029three", "one\ufffdtwo\ufffdthree"),
        ("line\n\tindented", "line\n\tindented"),
        ("Größe 漢字 🚢", "Größe 漢字 🚢"),
    ],
)
def test_what_a_terminal_would_obey_is_gone(text: str, safe: str) -> None:
    """Escape sequences vanish, controls and overrides become U+FFFD, newline and tab stay."""
    assert printable(text) == safe


@settings(max_examples=100, deadline=None)
@given(
    st.text(
        alphabet=st.characters() | st.sampled_from("\x1b\x9b\x9d\x07\x9c\\[];m\u202e"), max_size=60
    )
)
def test_no_control_is_left_whatever_the_text(text: str) -> None:
    """No text leaves a control or an override character, nor more characters than allowed."""
    safe = printable(text, 20)
    assert len(safe) <= 20
    assert not [c for c in safe if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert not set(safe) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def test_json_is_safe_however_deep_and_whole() -> None:
    """Texts and names of a document are made safe wherever they are, and nothing is cut or counted as text."""
    long = "x" * 10_000
    told = shown({"\x1b[1ma": [{"b": "\x9b31mc"}, 1.5, True, None], "long": long})
    assert told == {"a": [{"b": "c"}, 1.5, True, None], "long": long}


def test_long_text_is_cut_and_says_so() -> None:
    """At most `limit` characters come out, with an ellipsis where something is missing."""
    assert printable("x" * 100, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("\x1b[0m" * 1000 + "x", 10).endswith("…")


@pytest.mark.parametrize("flood", ["\x9d", "\x1b", "\x1b]", "\x1b[", "\x1b]\x9d", "\x90a", "\x9b0"])
def test_hostile_text_costs_linear_time(flood: str) -> None:
    """Beginnings of sequences that never end do not make the search quadratic."""
    start = time.process_time()
    printable(flood * 200_000, 100_000)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), 2**64, -(2**64), "a\0b", "\ud800", {"a\0": 1}, {"\ud800": 1}),
        [[[[[[[["eight and one more"]]]]]]]],
    ],
    ids=repr,
)
def test_what_postgresql_can_not_store_is_refused(value: object) -> None:
    """NaN, infinity, huge numbers, NUL, lone surrogates and deep nesting are a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError is one
        require_storable(value)


def test_ordinary_values_are_storable() -> None:
    """What an honest agent sends passes."""
    require_storable({"a": [1, 2.5, None, True, "é\n"], "b": {"c": {"d": [2**63, -1e308]}}})
