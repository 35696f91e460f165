"""Two suppliers with a row in every table, and whatever is tried in the name of one of them, and taken back."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from bench.attacks.tenancy.catalog import Catalog, Connection, Table, read_catalog
from orchestrator.database.logins import Logins

# Every id of a tenant is the tenant's own, so that one value fits every reference and any text tells whose it is. No
# column that refers to something is null.
_SEED: Final = """
INSERT INTO profiles (id, email) VALUES ({t}, {t} || '@example.com');
INSERT INTO accounts (user_id, email, password_hash) VALUES ({t}, {t}, '$argon2id$' || {t});
INSERT INTO sessions (id, user_id, user_agent, expires_at) VALUES ({t}, {t}, {t}, now() + interval '1 day');
INSERT INTO supplier_profiles (id, user_id, company_name, legal_business_name, contact_email, contact_phone,
                               business_address, authorized_signatory, signatory_title)
    VALUES ({t}, {t}, {t}, 'b', 'c', 'd', 'e', 'f', 'g');
INSERT INTO gpu_inventory (id, user_id, gpu_model) VALUES ({t}, {t}, {t});
INSERT INTO gpu_instances (id, user_id, gpu_inventory_id, vast_instance_id, ssh_host, host_key_offered)
    VALUES ({t}, {t}, {t}, {t}, 'host', {t});
INSERT INTO host_authorities (id, user_id, hosts, public_key, fingerprint) VALUES ({t}, {t}, {t}, {t}, {t});
INSERT INTO api_keys (id, user_id, name, public_id, secret_hash, scopes, expires_at, instance_id, made_by)
    VALUES ({t}, {t}, {t}, {t}, sha256({t}::bytea), '{{submit}}', now() + interval '1 day', {t}, {t});
INSERT INTO gpu_credentials (id, user_id, instance_id, kind, public_key, fingerprint, key_id, wrapped_key, ciphertext)
    VALUES ({t}, {t}, {t}, 'generated', {t}, 'f', 'k', {t}::bytea, {t}::bytea);
INSERT INTO connection_checks (id, user_id, ssh_host, ssh_port, ssh_user, login, host_key, key_id, wrapped_key, ciphertext)
    VALUES ({t}, {t}, 'host', 22, 'root', 'supplied', {t}, 'k', {t}::bytea, {t}::bytea);
INSERT INTO contact_rates (user_id, kind, whole_at) VALUES ({t}, 'machine', now());
INSERT INTO performance_metrics (id, user_id, gpu_inventory_id) VALUES ({t}, {t}, {t});
INSERT INTO gpu_test_schedules (id, user_id, instance_id, every_hours, next_due_at, next_fire_at)
    VALUES ({t}, {t}, {t}, 6, '2026-01-01', '2026-01-01');
INSERT INTO gpu_test_runs (id, user_id, instance_id, requested_by, instance_status, instance_test_status, state,
                           error_code, schedule_id, due_at, finished_at)
    VALUES ({t}, {t}, {t}, 'schedule', 'pending', 'not_started', 'cancelled', {t}, {t}, '2026-01-01', now());
INSERT INTO gpu_test_firings (schedule_id, due_at, user_id, outcome, run_id, last_due_at)
    VALUES ({t}, '2026-01-01', {t}, 'fired', {t}, '2026-01-01');
INSERT INTO gpu_test_events (run_id, seq, user_id, type, body) VALUES ({t}, 1, {t}, 'log', '{{}}');
INSERT INTO gpu_test_results (id, gpu_instance_id, user_id, run_id, source, verdict)
    VALUES ({t}, {t}, {t}, {t}, 'pushed', 'passed');
INSERT INTO gpu_test_figures (run_id, seq, user_id, instance_id, name, at)
    VALUES ({t}, 1, {t}, {t}, 'training', now());
INSERT INTO gpu_test_telemetry (run_id, gpu_index, user_id, interval_seconds, readings, columns, packed)
    VALUES ({t}, 0, {t}, 0.1, 1, '{{power_watts}}', {t}::bytea);
INSERT INTO idempotency_keys (user_id, key, fingerprint, answer) VALUES ({t}, {t}, sha256({t}::bytea), '{{}}')
"""
_BECOME: Final = sql.SQL(
    "SET LOCAL SESSION AUTHORIZATION {login};"
    " SELECT set_config('role', {role}, true), set_config('request.jwt.claims', {claims}, true)"
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[^\"',)]*|datetime\([^)]*\)")

NO_RIGHT: Final = "42501"
Statement = sql.Composed | bytes


@dataclass(frozen=True)
class Who:
    """A role, and the tenant that the claims name. `login` is what connected."""

    role: str
    user_id: UUID | None = None
    login: str = "harborx_api"

    @property
    def claims(self) -> str:
        said = {"role": self.role}
        return json.dumps({**said, "sub": str(self.user_id)} if self.user_id else said)

    def __str__(self) -> str:
        return f"{self.role} of {self.user_id or 'no tenant'}"


@dataclass(frozen=True)
class Outcome:
    """What came of a statement; `sqlstate` is None where it was carried out."""

    sqlstate: str | None = None
    constraint: str | None = None
    said: str = ""
    rows: tuple[tuple[Any, ...], ...] = ()
    count: int = 0
    harmed: bool = False  # something of the other's is another than before

    @property
    def text(self) -> str:
        return str(self.rows)

    def __str__(self) -> str:
        if self.sqlstate is not None:
            return f"{self.sqlstate} {self.constraint or self.said}"
        harmed = ", the other's rows are not what they were" if self.harmed else ""
        return f"{self.count} rows{harmed}"

    def told(self, own: UUID) -> tuple[str | None, str | None, str]:
        """What whoever sent it learns, without the ids that were sent, random ones and times."""
        kept = f"{self.said} {self.text}".replace(str(own), "own")
        return self.sqlstate, self.constraint, _TIME.sub("time", _UUID.sub("id", kept))


@dataclass
class Tally:
    """Cells that were tried, and a sentence for each that leaked or that could not be tried."""

    cells: int = 0
    leaks: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def cell(self, leaked: bool, sentence: str) -> None:
        self.cells += 1
        if leaked:
            self.leaks.append(sentence)


class TwoTenants:
    """`connection` is the owner's, a superuser's: it becomes each login in turn, and sees what that one changed."""

    def __init__(self, logins: Logins, connection: Connection, random: Random) -> None:
        self.logins = logins
        self.own, self.other, self.nobody = (UUID(int=random.getrandbits(128)) for _ in range(3))
        self._connection = connection
        for tenant in (self.own, self.other):
            seed(connection, tenant)
        self.catalog: Catalog = read_catalog(connection)
        self._rows: dict[tuple[str, UUID], list[dict[str, Any]]] = {}
        self._watched = self._others()
        self._before = connection.execute(self._watched).fetchone()

    def attempt(
        self,
        who: Who,
        statement: Statement,
        values: Sequence[Any] = (),
        *,
        room: Table | None = None,
        changes: bool = True,
    ) -> Outcome:
        """
        The statement in `who`'s name, taken back afterwards; `room` is a table whose own rows are gone before. One that
        only reads says so, and is not watched for what it changed.
        """
        connection = self._connection
        connection.execute(b"BEGIN")
        try:
            if room is not None:
                self._empty(room)
            connection.execute(_become(who))
            cursor = connection.execute(statement, values or None)
            rows = tuple(cursor.fetchall()) if cursor.description else ()
            if changes:
                connection.execute(b"RESET SESSION AUTHORIZATION")
            harmed = changes and connection.execute(self._watched).fetchone() != self._before
            return Outcome(rows=rows, count=cursor.rowcount, harmed=harmed)
        except psycopg.Error as error:
            told = error.diag
            said = f"{told.message_primary} {told.message_detail}"
            return Outcome(error.sqlstate, told.constraint_name, said)
        finally:
            connection.execute(b"ROLLBACK")

    def row(self, table: Table, tenant: UUID) -> dict[str, Any] | None:
        """A row of the tenant's, or None."""
        key = table.said.as_string(), tenant
        if key not in self._rows:
            query = sql.SQL(
                "SELECT to_jsonb(whole) FROM {} whole WHERE {} = %s ORDER BY whole::text"
            )
            owner = sql.Identifier(table.owner or "")
            self._rows[key] = [row[0] for row in self.ask(query.format(table.said, owner), tenant)]
        return next(iter(self._rows[key]), None)

    def count_own(self, table: Table) -> int:
        self.row(table, self.own)
        return len(self._rows[table.said.as_string(), self.own])

    def insertable(self, table: Table, who: Who) -> list[str]:
        """The columns that `who` may give a value to."""
        role = who.login if who.role == "none" else who.role
        place = f'"{table.schema}"."{table.name}"'
        query = b"SELECT name FROM unnest(%s::text[]) name WHERE has_column_privilege(%s, %s::regclass, name, 'INSERT')"
        return [row[0] for row in self.ask(query, table.written, role, place)]

    def ask(self, query: bytes | sql.Composed, *values: Any) -> list[tuple[Any, ...]]:
        """What the owner of the database sees."""
        return self._connection.execute(query, values or None).fetchall()

    def ask_named(self, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), values).fetchall()

    def _empty(self, table: Table) -> None:
        statement = sql.SQL("DELETE FROM {} WHERE {} = %s")
        owner = sql.Identifier(table.owner or "")
        self._connection.execute(statement.format(table.said, owner), (self.own,))

    def _others(self) -> sql.Composed:
        """All that is the other's, and all that names the other where nothing is anybody's, as one query."""
        parts = [
            sql.SQL("SELECT {} || whole::text AS line FROM {} whole WHERE {} LIKE {}").format(
                sql.Literal(table.name),
                table.said,
                sql.SQL("whole::text" if table.owner is None else "whole.{}::text").format(
                    sql.Identifier(table.owner or "")
                ),
                sql.Literal(f"%{self.other}%"),
            )
            for table in self.catalog.tables.values()
            if table.kind in "rp"
        ]
        every = sql.SQL(" UNION ALL ").join(parts)
        return sql.SQL("SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM ({}) every").format(
            every
        )


def seed(connection: Connection, tenant: UUID) -> None:
    """A row of the tenant in every table, whose ids are all `tenant`."""
    connection.execute(_SEED.format(t=f"'{tenant}'").encode())


@contextmanager
def two_tenants(logins: Logins, random: Random) -> Iterator[TwoTenants]:
    with psycopg.connect(logins.owner, autocommit=True) as connection:
        connection.prepare_threshold = None  # a plan is made for one role
        yield TwoTenants(logins, connection, random)


def _become(who: Who) -> sql.Composed:
    login, role, claims = sql.Identifier(who.login), sql.Literal(who.role), sql.Literal(who.claims)
    return _BECOME.format(login=login, role=role, claims=claims)


def exchanged(row: dict[str, Any], names: Sequence[str], old: UUID, new: UUID) -> dict[str, Any]:
    """The row with the tenant's marks in these columns exchanged."""
    changed = {
        name: value.replace(str(old), str(new))
        for name, value in row.items()
        if name in names and isinstance(value, str)
    }
    return {**row, **changed}


def inserted(table: Table, names: Sequence[str]) -> sql.Composed:
    """An INSERT of these columns; its parameter is the row as JSON."""
    statement = sql.SQL(
        "INSERT INTO {t} ({c}) SELECT {c} FROM jsonb_populate_record(NULL::{t}, %s)"
    )
    return statement.format(t=table.said, c=sql.SQL(", ").join(map(sql.Identifier, names)))
