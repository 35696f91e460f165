"""
Every table and view of the catalog, with every verb, role and tenant, and every reference and every unique value of it:
what a supplier reads, writes, points at, or learns of another from a refusal.

Out of scope: how long a statement takes, and what the planner estimates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from bench.attacks import tenancy_doors, tenancy_injections, tenancy_rules
from bench.attacks.catalog import Reference, Table, Unique
from bench.attacks.ground import Ground
from bench.attacks.record import Played
from bench.attacks.two_tenants import (
    NO_RIGHT,
    Outcome,
    Tally,
    TwoTenants,
    Who,
    exchanged,
    inserted,
    two_tenants,
)
from orchestrator.database.logins import Logins

_NO_PARENT: Final = "23503"


async def play(ground: Ground, count: int, seed: int) -> Played:
    """The matrix, `count` times, each with tenants of its own."""
    tally = Tally()
    for number in range(count):
        with ground.database() as logins:
            await asyncio.to_thread(attack, logins, seed + number, tally)
    return told(tally)


def told(tally: Tally) -> Played:
    return Played(
        tally.cells,
        {"leaks": len(tally.leaks)},
        dict(sorted(tally.figures.items())),
        missed=tuple(tally.missed),
        sentences=tuple(tally.leaks),
    )


def attack(logins: Logins, seed: int, tally: Tally, parts: Sequence[str] = ()) -> None:
    """On a fresh database of ours, as it is: it may have been weakened. Without `parts`, all of it."""
    with two_tenants(logins, Random(seed)) as tenants:
        for name, part in PARTS.items():
            if not parts or name in parts:
                part(tenants, tally)
        if not parts:
            for name in ("read", "written", "references", "uniques", "doors", "injected"):
                if not tally.figures[name]:
                    tally.missed.append(f"{name}: 0, so that the matrix proves nothing")


def _matrix(tenants: TwoTenants, tally: Tally) -> None:
    for table in tenants.catalog.owned:
        for tenant in (tenants.own, tenants.other):
            if tenants.row(table, tenant) is None:
                tally.missed.append(f"{table.name} has no row of each tenant to attack")
    for table in tenants.catalog.tables.values():
        for who in _callers(tenants):
            _read(tenants, table, who, tally)
            _write(tenants, table, who, tally)
    for sequence in tenants.catalog.sequences:
        _sequence(tenants, sequence, tally)


def _pointers(tenants: TwoTenants, tally: Tally) -> None:
    for table in tenants.catalog.owned:
        if tenants.row(table, tenants.own) is not None:
            _references(tenants, table, tally)
            _uniques(tenants, table, tally)


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
        tally.cell(leaked, f"{who} reads {table.name}.{column.name}: {_short(outcome)}")


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
        tally.cell(leaked, f"{who}: {verb} {table.name}: {_short(outcome)}")


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
    permitted = _permitted(tenants, table, who, "INSERT")
    for names in filter(None, (table.written, permitted)):
        for tenant in (tenants.own, tenants.other, None):
            told = {**row, owner: str(tenant) if tenant else None}
            mine = tenant == tenants.own and own > 0
            yield "insert", inserted(table, names), (Jsonb(told),), 1 if mine else 0
    others = tenants.row(table, tenants.other)
    if permitted:
        yield "insert", inserted(table, permitted), (Jsonb(others),), 0


def _permitted(tenants: TwoTenants, table: Table, who: Who, verb: str) -> list[str]:
    role = who.login if who.role == "none" else who.role
    place = f'"{table.schema}"."{table.name}"'
    query = b"SELECT name FROM unnest(%s::text[]) name WHERE has_column_privilege(%s, %s::regclass, name, %s)"
    return [row[0] for row in tenants.ask(query, table.written, role, place, verb)]


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
            tally.cell(leaked, f"{who} uses {sequence.as_string()}: {_short(outcome)}")


def _references(tenants: TwoTenants, table: Table, tally: Tally) -> None:
    """What refers to another's row is refused, and as what refers to none."""
    service = Who("service_role", None, "harborx_worker")
    for reference in table.references:
        target = tenants.catalog.tables[reference.target]
        if target.owner is None or reference.columns == (table.owner,):
            continue
        names = [name for name in reference.columns if name != table.owner]
        if any((tenants.row(table, tenants.own) or {}).get(name) is None for name in names):
            tally.missed.append(f"{table.name}: {reference.name}: no row of the seed refers")
            continue
        for who in (Who("authenticated", tenants.own), service):
            for way in _ways(tenants, table, who, names):
                _refer(tenants, table, reference, who, way, tally)


Way = tuple[str, sql.Composed, dict[UUID, Sequence[Any]]]


def _ways(tenants: TwoTenants, table: Table, who: Who, names: Sequence[str]) -> Iterator[Way]:
    """INSERT and UPDATE of the tenant's row with the other's values in these columns, and with nobody's."""
    row = tenants.row(table, tenants.own) or {}
    beside = _beside(table, names)
    row = {**row, **{name: _another(row[name]) for name in beside}}
    told = {
        tenant: exchanged(row, names, tenants.own, tenant)
        for tenant in (tenants.other, tenants.nobody)
    }
    changed = [*names, *beside]
    written = _permitted(tenants, table, who, "INSERT")
    inserts = written if set(changed) <= set(written) else table.written
    yield (
        "insert",
        inserted(table, inserts),
        {tenant: (Jsonb(said),) for tenant, said in told.items()},
    )
    news = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in changed)
    owner = sql.Identifier(table.owner or "")
    update = sql.SQL("UPDATE {} SET {} WHERE {} = {}").format(
        table.said, news, owner, sql.Literal(str(tenants.own))
    )
    yield (
        "update",
        update,
        {tenant: [said[name] for name in changed] for tenant, said in told.items()},
    )


def _beside(table: Table, names: Sequence[str]) -> list[str]:
    """What is unique together with these columns: it is another, so that the reference alone is wrong."""
    keys = [set(unique.columns) for unique in table.uniques if set(unique.columns) & set(names)]
    return sorted(set().union(*keys) - {*names, table.owner or ""})


def _another(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    return "2027-01-01" if isinstance(value, str) and value.startswith("20") else value


def _refer(
    tenants: TwoTenants, table: Table, reference: Reference, who: Who, way: Way, tally: Tally
) -> None:
    verb, statement, values = way
    room = table if verb == "insert" else None
    others, nobodys = (
        tenants.attempt(who, statement, values[tenant], room=room)
        for tenant in (tenants.other, tenants.nobody)
    )
    same = others.told(tenants.own) == nobodys.told(tenants.own)
    leaked = others.sqlstate is None or others.harmed or not same
    sentence = f"{who}: {verb} {table.name}, {reference.name} to the other's: {_short(others)}, to nobody's: {_short(nobodys)}"
    tally.cell(leaked, sentence)
    tally.figures["references"] += nobodys.sqlstate == _NO_PARENT
    if verb == "insert" and who.role == "service_role" and nobodys.sqlstate != _NO_PARENT:
        tally.missed.append(f"a reference could not be tried: {sentence}")


def _uniques(tenants: TwoTenants, table: Table, tally: Tally) -> None:
    """A value that another has is as good as one that nobody has; but random ids, which nobody guesses."""
    who = Who("authenticated", tenants.own)
    for unique in table.uniques:
        names = [name for name in unique.columns if name != table.owner]
        if not names:
            continue
        for verb, statement, values in _ways(tenants, table, who, names):
            room = table if verb == "insert" else None
            others, nobodys = (
                tenants.attempt(who, statement, values[tenant], room=room)
                for tenant in (tenants.other, tenants.nobody)
            )
            known = _is_known_id(table, others, nobodys)
            leaked = others.told(tenants.own) != nobodys.told(tenants.own) and not known
            sentence = f"{who}: {verb} {table.name}, the other's {unique.name}: {_short(others)}, nobody's: {_short(nobodys)}"
            tally.cell(leaked or others.harmed, sentence)
            tally.figures["uniques"] += nobodys.sqlstate is None
            tally.figures["ids_that_can_be_named"] += known and unique.name == others.constraint


def _is_known_id(table: Table, others: Outcome, nobodys: Outcome) -> bool:
    """Whoever knows a random id learns that it is taken: it was told to its owner only."""
    violated: Unique | None = next(
        (unique for unique in table.uniques if unique.name == others.constraint), None
    )
    return violated is not None and table.is_random(violated.columns) and nobodys.sqlstate is None


def _sql(form: str, names: dict[str, Any]) -> sql.Composed:
    return sql.SQL(form).format(**names)


def _short(outcome: Outcome) -> str:
    if outcome.sqlstate is not None:
        return f"{outcome.sqlstate} {outcome.constraint or outcome.said}"
    harmed = ", the other's rows are not what they were" if outcome.harmed else ""
    return f"{outcome.count} rows{harmed}"


PARTS: Final = {
    "rules": tenancy_rules.hold,
    "matrix": _matrix,
    "references": _pointers,
    "doors": tenancy_doors.open_all,
    "injections": tenancy_injections.inject_all,
}
