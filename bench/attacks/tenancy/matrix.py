"""Every verb of every role and tenant on every table and view, and on every sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from bench.attacks.tenancy.catalog import Table
from bench.attacks.tenancy.two_tenants import NO_RIGHT, Outcome, Tally, TwoTenants, Who, inserted


def try_all(tenants: TwoTenants, tally: Tally) -> None:
    for table in (whole for whole in tenants.catalog.owned if not whole.part):
        for tenant in (tenants.own, tenants.other):
            if tenants.row(table, tenant) is None:
                tally.missed.append(f"{table.name} has no row of each tenant to attack")
    for table in tenants.catalog.tables.values():
        for who in _callers(tenants):
            _read(tenants, table, who, tally)
            _write(tenants, table, who, tally)
    for sequence in tenants.catalog.sequences:
        _sequence(tenants, sequence, tally)


def _callers(tenants: TwoTenants) -> list[Who]:
    """What the API's login can act as, and what it must not."""
    roles = ("anon", "authenticated", "service_role", "none")
    return [Who(role, tenant) for role in roles for tenant in (tenants.own, None)]


def _may_have(who: Who) -> bool:
    return who.role == "authenticated" and who.user_id is not None


def _read(tenants: TwoTenants, table: Table, who: Who, tally: Tally) -> None:
    """Each column for itself: whoever lacks a right on one may have it on others."""
    own = tenants.count_own(table) if table.owner and table.kind in "rp" else None
    for column in table.columns:
        query = sql.SQL("SELECT {}::text FROM {}").format(sql.Identifier(column.name), table.said)
        outcome = tenants.attempt(who, query, changes=False)
        if outcome.sqlstate is not None:
            leaked = outcome.sqlstate != NO_RIGHT
        elif (
            table.owner is None and table.kind in "rp"
        ):  # nobody's rows: the version, for the login
            leaked = who.role != "none" or table.references != ()
        else:
            tally.figures["read"] += outcome.count > 0
            leaked = _beyond(outcome, tenants, own if _may_have(who) else 0)
        tally.cell(leaked, f"{who} reads {table.name}.{column.name}: {outcome}")


def _beyond(outcome: Outcome, tenants: TwoTenants, most: int | None) -> bool:
    """Whether rows are more than one's own, or tell of the other."""
    return (
        (most is not None and outcome.count > most)
        or str(tenants.other) in outcome.text
        or outcome.harmed
    )


def _write(tenants: TwoTenants, table: Table, who: Who, tally: Tally) -> None:
    for verb, statement, values, allowed in _writes(tenants, table, who):
        room = table if verb == "insert" and table.owner and table.kind in "rp" else None
        outcome = tenants.attempt(who, statement, values, room=room)
        done = outcome.sqlstate is None and outcome.count != 0
        tally.figures["written"] += done and allowed > 0
        leaked = outcome.harmed or (done and (outcome.count > allowed or outcome.count < 0))
        tally.cell(leaked, f"{who}: {verb} {table.name}: {outcome}")


def _writes(
    tenants: TwoTenants, table: Table, who: Who
) -> Iterator[tuple[str, sql.Composed, Sequence[Any], int]]:
    """Verb, statement, its values, and how many rows it may reach at most."""
    names = {"t": table.said}
    own = 0
    if table.owner and table.kind in "rp":
        own = tenants.count_own(table) if _may_have(who) else 0
        names["o"] = sql.Identifier(table.owner)
        yield from _inserts(tenants, table, who, own)
        for column in table.written:
            names["c"] = sql.Identifier(column)
            yield "update", _sql("UPDATE {t} SET {c} = {c}", names), (), own
            statement = _sql("UPDATE {t} SET {c} = {c} WHERE {o} = %s", names)
            yield "update", statement, (tenants.other,), 0
        for owner in (tenants.other, None):
            yield "give away", _sql("UPDATE {t} SET {o} = %s", names), (owner,), 0
        yield "delete", _sql("DELETE FROM {t} WHERE {o} = %s", names), (tenants.other,), 0
    else:
        for column in table.written:
            names["c"] = sql.Identifier(column)
            yield "update", _sql("UPDATE {t} SET {c} = {c}", names), (), 0
        yield (
            "insert",
            _sql("INSERT INTO {t} SELECT (r).* FROM (SELECT NULL::{t} r) r", names),
            (),
            0,
        )
    yield "delete", _sql("DELETE FROM {t}", names), (), own
    yield "truncate", _sql("TRUNCATE {t} CASCADE", names), (), 0


def _inserts(
    tenants: TwoTenants, table: Table, who: Who, own: int
) -> Iterator[tuple[str, sql.Composed, Sequence[Any], int]]:
    """The tenant's own row again, as its own, the other's and nobody's: all columns, and those that it has a right on."""
    row = tenants.row(table, tenants.own)
    owner = table.owner
    if row is None or owner is None:
        return
    permitted = tenants.insertable(table, who)
    for names in filter(None, (table.written, permitted)):
        for tenant in (tenants.own, tenants.other, None):
            told = {**row, owner: str(tenant) if tenant else None}
            mine = tenant == tenants.own and own > 0
            yield "insert", inserted(table, names), (Jsonb(told),), 1 if mine else 0
    others = tenants.row(table, tenants.other)
    if permitted:
        yield "insert", inserted(table, permitted), (Jsonb(others),), 0


def _sequence(tenants: TwoTenants, sequence: sql.Identifier, tally: Tally) -> None:
    """A sequence tells how much others do."""
    name = sql.Literal(sequence.as_string())
    for who in _callers(tenants):
        for form in (
            "SELECT nextval({n})",
            "SELECT setval({n}, 1)",
            "SELECT last_value FROM {s}",
            "SELECT last_value FROM pg_sequences WHERE last_value IS NOT NULL AND {n} <> ''",
        ):
            outcome = tenants.attempt(who, _sql(form, {"n": name, "s": sequence}))
            leaked = outcome.sqlstate is None and outcome.count > 0
            tally.cell(leaked, f"{who} uses {sequence.as_string()}: {outcome}")


def _sql(form: str, names: dict[str, Any]) -> sql.Composed:
    return sql.SQL(form).format(**names)
