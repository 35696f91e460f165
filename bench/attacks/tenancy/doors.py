"""Every function of the catalog, called with one's own ids, another's and nobody's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from bench.attacks.tenancy.catalog import Function
from bench.attacks.tenancy.two_tenants import NO_RIGHT, Outcome, Tally, TwoTenants, Who

_DUE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NEITHER: Final = {
    "integer": 1,
    "bigint": 1,
    "smallint": 1,
    "double precision": 1.0,
    "boolean": True,
    "jsonb": "{}",
    "json": "{}",
    "timestamp with time zone": _DUE,
    "interval": "1 hour",
}
_WHOSE: Final = ("uuid", "text", "character varying", "bytea")


def open_all(tenants: TwoTenants, tally: Tally) -> None:
    """
    Whoever acts for a tenant, or for none, learns and changes nothing of another: another's ids are as good as
    nobody's. The login itself signs people in, for which its doors take an id at its word; they speak of nobody but
    whom they were asked about.
    """
    for function in tenants.catalog.functions:
        for who in (Who("authenticated", tenants.own), Who("anon"), Who("anon", tenants.own)):
            _ask_of_another(tenants, function, who, tally)
        _ask_of_oneself(tenants, function, tally)


def _ask_of_another(tenants: TwoTenants, function: Function, who: Who, tally: Tally) -> None:
    for places in _places(function):
        others, nobodys = (
            tenants.attempt(who, _call(function), _values(function, tenants.own, places, tenant))
            for tenant in (tenants.other, tenants.nobody)
        )
        if function.definer:
            tally.figures["doors"] += nobodys.sqlstate != NO_RIGHT
        leaked = others.harmed or others.told(tenants.own) != nobodys.told(tenants.own)
        sentence = f"{who} calls {function} with the other's {places}: {_said(others)}, with nobody's: {_said(nobodys)}"
        tally.cell(leaked, sentence)


def _ask_of_oneself(tenants: TwoTenants, function: Function, tally: Tally) -> None:
    for who in (Who("none"), Who("none", tenants.own), Who("authenticated", tenants.own)):
        for tenant in (tenants.own, tenants.nobody):
            every = list(range(len(function.arguments)))
            values = _values(function, tenant, every, tenant)
            outcome = tenants.attempt(who, _call(function), values)
            leaked = outcome.harmed or str(tenants.other) in outcome.text
            tally.cell(leaked, f"{who} calls {function} with {tenant}: {_said(outcome)}")


def _places(function: Function) -> Iterator[list[int]]:
    """Each argument that can name somebody, and all of them."""
    places = [
        place
        for place, kind in enumerate(function.arguments)
        if kind.removesuffix("[]") in _WHOSE and place not in function.words
    ]
    if len(places) != 1:
        yield places
    for place in places:
        yield [place]


def _call(function: Function) -> sql.Composed:
    places = sql.SQL(", ").join(sql.SQL("%s::" + kind) for kind in function.arguments)
    return sql.SQL("SELECT * FROM {}({})").format(function.said, places)


def _values(function: Function, own: UUID, places: Sequence[int], tenant: UUID) -> list[Any]:
    return [
        function.words.get(place) or _value(kind, tenant if place in places else own)
        for place, kind in enumerate(function.arguments)
    ]


def _value(kind: str, tenant: UUID) -> Any:
    if kind.endswith("[]"):
        one = _value(kind[:-2], tenant)
        return None if one is None else [one]
    if kind == "bytea":
        return hashlib.sha256(str(tenant).encode()).digest()
    if kind in _WHOSE:
        return str(tenant)
    return _NEITHER.get(kind)


def _said(outcome: Outcome) -> str:
    return f"{outcome.sqlstate} {outcome.said}" if outcome.sqlstate else outcome.text[:200]
