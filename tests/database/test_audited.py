"""The audit log is complete and stays small: held against what the catalog says that a supplier may change."""

from __future__ import annotations

import json
from typing import Any, Final

import psycopg

from tests.conftest import Databases

# What a supplier may change without an entry of its own, and why.
UNTOLD: Final = {
    ("idempotency_keys", "INSERT"): "stands for a request whose work is told",
    ("idempotency_keys", "UPDATE"): "its answer, in the same transaction",
    (
        "gpu_instances",
        "UPDATE",
        "metadata",
    ): "the provider's words, up to 64 KiB, of which nothing follows",
}
_RIGHTS: Final = """
SELECT c.relname, right_, a.attname
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) right_
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname !~ '^procrastinate'
  AND CASE right_ WHEN 'DELETE' THEN has_table_privilege('authenticated', c.oid, right_)
                  ELSE has_column_privilege('authenticated', c.oid, a.attnum, right_) END
"""
# Bits of tgtype: insert 4, delete 8, update 16. Columns of an UPDATE trigger are in tgattr; none: all of them.
_TOLD: Final = """
SELECT c.relname, right_, a.attname
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_proc f ON f.oid = t.tgfoid AND f.proname = 'audit'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN (VALUES ('INSERT', 4), ('DELETE', 8), ('UPDATE', 16)) AS kind (right_, bit)
WHERE t.tgenabled = 'O' AND t.tgtype & bit <> 0 AND t.tgtype & 1 = 1 AND t.tgqual IS NULL
  AND (right_ <> 'UPDATE' OR t.tgattr = '' OR a.attnum = ANY (t.tgattr))
"""


def _rows(databases: Databases, statement: str) -> set[tuple[str, str, str]]:
    with psycopg.connect(databases.logins.owner) as connection:
        return {(str(a), str(b), str(c)) for a, b, c in connection.execute(statement.encode())}


async def test_whatever_a_supplier_may_change_is_told(databases: Databases) -> None:
    """Every table and column that it may write has the trigger, or a reason is given here."""
    untold = _rows(databases, _RIGHTS) - _rows(databases, _TOLD)
    reasoned = {row for row in untold if row in UNTOLD or row[:2] in UNTOLD}
    assert untold - reasoned == set()
    assert {row[:2] for row in _rows(databases, _RIGHTS)} > {("gpu_inventory", "DELETE")}
    for reason in UNTOLD:  # none is left over
        assert any(row[: len(reason)] == reason for row in untold), reason


async def test_a_missing_trigger_is_noticed(databases: Databases) -> None:
    with psycopg.connect(databases.logins.owner) as connection:
        connection.execute("ALTER TABLE gpu_inventory DISABLE TRIGGER audit")
    untold = _rows(databases, _RIGHTS) - _rows(databases, _TOLD)
    assert {("gpu_inventory", right, "quantity") for right in ("INSERT", "UPDATE")} <= untold


async def test_an_entry_tells_the_beginning_of_long_values(databases: Databases) -> None:
    """Who writes a megabyte into a field does not write it into the log, before and after, too."""
    user = await databases.new_supplier()
    with psycopg.connect(databases.logins.owner) as connection:
        for statement in (
            "INSERT INTO gpu_inventory (user_id, gpu_model) VALUES (%(user)s, repeat('ä', 1000000))",
            "UPDATE gpu_inventory SET gpu_model = repeat('\\\"', 1000000)",
            "UPDATE gpu_inventory SET gpu_model = 'short'",
        ):
            connection.execute(statement.encode(), {"user": user})
        found: list[Any] = [
            row[0]
            for row in connection.execute(
                "SELECT detail -> 'gpu_model' FROM audit_log"
                " WHERE action ~ 'gpu_inventory' ORDER BY id"
            )
        ]
    assert all(len(json.dumps(each, ensure_ascii=False)) < 10_000 for each in found)
    assert found[0] == "ä" * 2000 + "…"
    assert found[2][1] == "short"
