"""No row of another supplier can be read, written, pointed at or inferred, and no login becomes more than it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest

from bench.attacks.ground import Ground
from bench.attacks.tenancy import injections, rules
from bench.attacks.tenancy.attack import attack, play
from bench.attacks.tenancy.two_tenants import Tally, two_tenants

_SOURCES = Path(__file__).parents[2] / "orchestrator"
_WEAKNESSES = {
    "not forced": ("ALTER TABLE gpu_instances NO FORCE ROW LEVEL SECURITY", ["rules"]),
    "not enabled": ("ALTER TABLE gpu_inventory DISABLE ROW LEVEL SECURITY", ["rules", "matrix"]),
    "a table without policies": (
        "CREATE TABLE notes (user_id uuid REFERENCES profiles (id)); GRANT SELECT ON notes TO authenticated;"
        " INSERT INTO notes SELECT id FROM profiles",
        ["rules"],
    ),
    "a plain view": (
        "CREATE VIEW fleet AS SELECT gpu_name FROM gpu_instances; GRANT SELECT ON fleet TO authenticated",
        ["rules"],
    ),
    "a plain view of owners": (
        "CREATE VIEW fleet AS SELECT user_id FROM gpu_instances; GRANT SELECT ON fleet TO anon, authenticated",
        ["rules", "matrix"],
    ),
    "a policy for everybody": (
        "CREATE POLICY everybody ON gpu_inventory TO authenticated USING (true)",
        ["rules", "matrix"],
    ),
    "a reference without its owner": (
        "ALTER TABLE gpu_instances DROP CONSTRAINT gpu_instances_user_id_gpu_inventory_id_fkey,"
        " ADD FOREIGN KEY (gpu_inventory_id) REFERENCES gpu_inventory (id)",
        ["rules", "references"],
    ),
    "a name unique among all": (
        "CREATE UNIQUE INDEX ON gpu_instances (vast_instance_id)",
        ["references"],
    ),
    "a reference unique among all": (
        "CREATE UNIQUE INDEX ON gpu_test_schedules (instance_id)",
        ["references"],
    ),
    "an id that is not random": (
        "GRANT INSERT (id) ON gpu_instances TO authenticated;"
        " ALTER TABLE gpu_instances ALTER id DROP DEFAULT",
        ["references"],
    ),
    "a door open to everybody": (
        "GRANT EXECUTE ON FUNCTION submission_target(uuid, uuid) TO PUBLIC",
        ["rules", "doors"],
    ),
    "a door to others": (
        "GRANT EXECUTE ON FUNCTION run_heads(uuid[]) TO authenticated",
        ["doors"],
    ),
    "a door whose refusal tells": (
        "CREATE UNIQUE INDEX ON gpu_test_runs (schedule_id, due_at)",
        ["doors"],
    ),
    "a key's public half unique among all": (
        "CREATE UNIQUE INDEX ON api_keys (public_id)",
        ["references"],
    ),
    "a door that others can furnish": (
        "ALTER FUNCTION cancel_run(uuid, text, text) RESET search_path",
        ["rules"],
    ),
}


async def test_nothing_of_another_supplier_is_reached(ground: Ground) -> None:
    """Every table, verb, role and tenant of the catalog, every reference, unique value and door: nothing leaks."""
    played = await play(ground, 1, 7)
    assert played.held, (*played.sentences[:5], *played.missed[:5])
    assert played.attempted > 5_000


@pytest.mark.parametrize("weakness", _WEAKNESSES)
def test_each_weakness_is_found(ground: Ground, weakness: str) -> None:
    """Each guard that is taken out is missed by every part of the attack that it stands against."""
    statement, parts = _WEAKNESSES[weakness]
    with ground.database() as logins:
        with psycopg.connect(logins.owner) as connection:
            connection.execute(statement.encode())
        for seed, part in enumerate(parts):
            tally = Tally()
            attack(logins, seed, tally, [part])
            assert tally.leaks, part


def test_a_login_that_may_become_more_is_found(ground: Ground) -> None:
    """Where the API's login is a member of another role, injected statements take it."""
    with ground.database() as logins, psycopg.connect(logins.owner, autocommit=True) as owner:
        owner.execute(
            "GRANT service_role TO harborx_api"
        )  # the whole server's, so it is taken back
        try:
            with two_tenants(logins, Random(7)) as tenants:
                for part in (rules.hold, injections.inject_all):
                    tally = Tally()
                    part(tenants, tally)
                    assert tally.leaks, part
        finally:
            owner.execute("REVOKE service_role FROM harborx_api")


def test_no_statement_is_built_from_what_somebody_sent() -> None:
    """Statements are constants of their modules, and values are bound: there is nowhere to inject one."""
    built = {
        f"{path.relative_to(_SOURCES)}:{line}"
        for path in sorted(_SOURCES.rglob("*.py"))
        for line in built_statements(path.read_text("utf-8"))
    }
    assert built == set()


@pytest.mark.parametrize(
    "source",
    [
        "def f(name): return text(f'SELECT {name}')",
        "def f(name): return text('SELECT ' + name)",
        "def f(name): return text('SELECT {}'.format(name))",
        "def f(name): return text('SELECT %s' % name)",
        "def f(name): return text(name)",
        "def f(name): return sql.SQL(name)",
        "def f(name): return order_by(literal_column(name))",
        "async def f(session, name): await session.exec(f'x {name}')",
        "def f(c, name): c.execute('DELETE FROM ' + name)",
        "def f(name):\n    query = f'SELECT {name}'\n    return query",
        "def f(name): return 'INSERT INTO {}'.format(name)",
    ],
)
def test_a_built_statement_is_found(source: str) -> None:
    """Whatever way a statement is put together in a function, it is seen."""
    assert list(built_statements(source)) != []


def test_constants_are_no_built_statements() -> None:
    """What a module states once, before anybody asked, is fine."""
    source = (
        "_T = 'runs'\n_Q = text(f'SELECT {_T}')\n"
        "def f(c, name):\n    c.execute(_Q, {'name': name})\n    c.execute(f'CREATE DATABASE {_T}')\n"
        "    return text('SELECT 1'), f'selects {name}', select(func.now()).format(name)"
    )
    assert list(built_statements(source)) == []


_SINKS = {"text", "SQL", "literal_column", "exec_driver_sql", "execute", "executemany", "exec"}
_STRICT = {"text", "SQL", "literal_column", "exec_driver_sql"}  # whose argument is a statement
_VERB = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|GRANT|REVOKE|SET|COPY|DO|CALL|TRUNCATE)\s"
)


def built_statements(source: str) -> Iterator[int]:
    """The lines in functions where SQL is put together from anything but a module's own constants."""
    tree = ast.parse(source)
    sql_texts = _imports_text(tree)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if _is_built(node, sql_texts):
                    yield node.lineno  # type: ignore[attr-defined]


def _imports_text(tree: ast.Module) -> bool:
    """A module that imports another `text` than SQLAlchemy's means that one."""
    return not any(
        isinstance(node, ast.FunctionDef) and node.name == "text" for node in ast.walk(tree)
    )


def _is_built(node: ast.AST, sql_texts: bool) -> bool:
    if isinstance(node, ast.Call) and node.args:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        said = node.args[0]
        if name in _STRICT and (name != "text" or sql_texts):
            return not _is_constant(said)
        if name in _SINKS:
            return _is_composed(said) and not _is_constant(said)
    return _is_composed(node) and bool(_VERB.match(_beginning(node))) and not _is_constant(node)


def _is_composed(node: ast.AST) -> bool:
    """An f-string, a sum, a `%` or a `.format`, also encoded."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("encode", "strip"):
            return _is_composed(node.func.value)
        return node.func.attr == "format" and isinstance(node.func.value, ast.Constant)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod)
    )


def _is_constant(node: ast.AST) -> bool:
    """Literals, and a module's constants by their spelling."""
    return all(
        each.id.lstrip("_").isupper() for each in ast.walk(node) if isinstance(each, ast.Name)
    )


def _beginning(node: ast.AST) -> str:
    first = next((n for n in ast.walk(node) if isinstance(n, ast.Constant)), None)
    return first.value if first is not None and isinstance(first.value, str) else ""
