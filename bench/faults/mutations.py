"""
The product with one of its guards taken out, in a process or a database of the world only: the checker must
notice each.

They patch names of the product. Where such a name is gone, the patch fails loudly instead of doing nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import text, update
from sqlmodel import col

from orchestrator.database import events, runs
from orchestrator.database.models import Run
from orchestrator.runs.journal import Journal
from orchestrator.ssh import connection


def _no_fence() -> None:
    """A worker that was presumed dead writes on: its epoch is not looked at (see also `IN_DATABASE`)."""

    async def write(session: Any, run_id: Any, epoch: int, **values: Any) -> Run:
        statement = (
            update(Run)
            .where(col(Run.id) == run_id)
            .values(**values)
            .returning(Run)
            .execution_options(populate_existing=True)
        )
        return (await session.exec(statement)).scalar_one()  # type: ignore[no-any-return]

    _replace(runs, "write", write)
    # Many runs' batches carry the fence in their one statement.
    unfenced = str(events._APPEND_ALL).replace(events.FENCE, "true")
    _replace(events, "_APPEND_ALL", text(unfenced))


def _offset_apart() -> None:
    """Events are committed first, and in another transaction the offset that says they were read."""
    original = Journal.append

    async def append(self: Journal, new: Any, **changes: Any) -> None:
        new = tuple(new)
        if not new or "remote_offset" not in changes:
            await original(self, new, **changes)
            return
        await original(self, new)
        await original(self, (), **changes)

    append.__name__ = "append"
    _replace(Journal, "append", append)


def _no_host_key() -> None:
    """Whoever answers at the address is taken for the machine."""
    original = connection._login_options

    def login_options(*arguments: Any) -> dict[str, Any]:
        return {**original(*arguments), "known_hosts": None}

    _replace(connection, "_login_options", login_options)


def _no_clean() -> None:
    """What lies on the machine stays there, and the database says otherwise."""

    async def clean(*_: Any, **__: Any) -> list[Any]:
        return []

    places = [
        module
        for path, module in list(sys.modules.items())
        if path.startswith("orchestrator.runs")
        and getattr(getattr(module, "clean", None), "__module__", "") == "orchestrator.ssh.clean"
    ]
    if not places:
        raise AssertionError("nobody cleans")
    for module in places:
        _replace(module, "clean", clean)


def _replace(owner: Any, name: str, value: Any) -> None:
    getattr(owner, name)  # a name that is gone must not be made anew
    setattr(owner, name, value)


# What goes from the database besides: its trigger is the fence's second line.
IN_DATABASE: Final = {"no-fence": "ALTER TABLE gpu_test_runs DISABLE TRIGGER guard_run"}
MUTATIONS: Final[dict[str, Callable[[], None]]] = {
    "no-fence": _no_fence,
    "offset-apart": _offset_apart,
    "no-host-key": _no_host_key,
    "no-clean": _no_clean,
}
