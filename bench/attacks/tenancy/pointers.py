"""Every reference and every unique value, with what is another's and with what is nobody's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from bench.attacks.tenancy.catalog import Reference, Table, Unique
from bench.attacks.tenancy.two_tenants import Outcome, Tally, TwoTenants, Who, exchanged, inserted

_NO_PARENT: Final = "23503"


def point_all(tenants: TwoTenants, tally: Tally) -> None:
    for table in tenants.catalog.owned:
        if not table.part and tenants.row(table, tenants.own) is not None:
            _references(tenants, table, tally)
            _uniques(tenants, table, tally)


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
    written = tenants.insertable(table, who)
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
    sentence = f"{who}: {verb} {table.name}, {reference.name} to the other's: {others}, to nobody's: {nobodys}"
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
            sentence = f"{who}: {verb} {table.name}, the other's {unique.name}: {others}, nobody's: {nobodys}"
            tally.cell(leaked or others.harmed, sentence)
            tally.figures["uniques"] += nobodys.sqlstate is None
            tally.figures["ids_that_can_be_named"] += known and unique.name == others.constraint


def _is_known_id(table: Table, others: Outcome, nobodys: Outcome) -> bool:
    """Whoever knows a random id learns that it is taken: it was told to its owner only."""
    violated: Unique | None = next(
        (unique for unique in table.uniques if unique.name == others.constraint), None
    )
    return violated is not None and table.is_random(violated.columns) and nobodys.sqlstate is None
