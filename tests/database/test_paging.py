"""Cursors: a place in a list, in the one spelling that we give."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.database.paging import cursor_behind, position
from orchestrator.domain.errors import InvalidInput

ID = "5f0c2f5e-52b6-4f1e-9f0a-0a4f5d1f2a11"


def spelled(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))])))
def test_a_cursor_leads_back_to_its_row(at: datetime) -> None:
    row = SimpleNamespace(created_at=at, id=uuid4())
    assert position(cursor_behind(row)) == (at, row.id)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "\ud800", "ä", "\0", "a" * 100_000, "' OR true --"),
        spelled(f"2026-11-25T10:00:00 {ID}"),  # in no time zone
        spelled(f"2026-11-25 10:00:00+00:00 {ID}"),
        spelled(f"2026-11-25T10:00:00Z {ID}"),
        spelled(f"2026-11-25T10:00:00+00:00 {ID.upper()}"),
        spelled(f"2026-11-25T10:00:00+00:00 {{{ID}}}"),
        spelled(f"2026-11-25T10:00:00+00:00 {ID}") + "!",
        spelled(f"2026-11-25T10:00:00+00:00 {ID} x"),
        spelled(f"infinity {ID}"),
    ],
    ids=lambda cursor: ascii(cursor)[:40],
)
def test_anything_else_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        position(cursor)
    assert refused.value.evidence["field"] == "cursor"


@given(st.text())
def test_no_text_comes_through_unread(cursor: str) -> None:
    """Whatever somebody makes up is refused as input, or is a place."""
    with pytest.raises(InvalidInput):
        position(cursor)
