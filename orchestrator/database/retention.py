"""
What is kept for a time only: deleted inventory for 30 days, connection checks for one, ended sessions for seven, the
audit log for as many as are configured, and attempts for as long as they say themselves. Results go by months
(database/months.py), and their runs with all that was told of them behind them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

# The index that orders a table by age, and when a row's time is up.
_OLD: Final = {
    "gpu_inventory": ("deleted_at", "interval '30 days'"),
    "connection_checks": ("created_at", "interval '1 day'"),
    "sessions": ("least(expires_at, revoked_at)", "interval '7 days'"),
    "attempts": ("kept_until", "interval '0 days'"),
    "audit_log": ("at", "make_interval(days => :audit_days)"),
}
STATEMENTS: Final = {
    table: text(
        f"DELETE FROM {table} WHERE id = ANY (ARRAY("  # noqa: S608  our own words
        f"SELECT id FROM {table} WHERE {age} < now() - {kept}"
        f" ORDER BY {age} LIMIT :most FOR UPDATE SKIP LOCKED))"
    )
    for table, (age, kept) in _OLD.items()
}

# Of months that are dropped; with them go events, figures and telemetry.
_RUNS: Final = text(
    """
    DELETE FROM gpu_test_runs WHERE id = ANY (ARRAY(
        SELECT id FROM gpu_test_runs
        WHERE finished_at < (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => :kept)) AT TIME ZONE 'UTC'
        ORDER BY finished_at LIMIT :most FOR UPDATE SKIP LOCKED))
    """
)


async def forget_runs(session: AsyncSession, kept: int, most: int) -> int:
    """Forgets up to `most` runs that ended more than `kept` whole months ago; how many it were. For workers only."""
    found = await session.exec(_RUNS, params={"kept": max(1, kept), "most": most})  # type: ignore[call-overload]
    count: int = found.rowcount
    return count


async def forget(session: AsyncSession, table: str, most: int, *, audit_days: int) -> int:
    """Forgets up to `most` rows whose time is up, the oldest first; how many it were. For workers only."""
    values = {"most": most}
    if table == "audit_log":
        values["audit_days"] = audit_days
    found = await session.exec(STATEMENTS[table], params=values)  # type: ignore[call-overload]
    count: int = found.rowcount
    return count
