"""What there is in a database, by its own catalog: no list here names a table, a column or a function of ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg
from psycopg import sql

OWNER: Final = "user_id"
_OURS: Final = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_TABLES: Final = f"""
    SELECT n.nspname, c.relname, c.relkind::text, c.relispartition,
        ARRAY(SELECT json_build_array(
                a.attname, format_type(a.atttypid, NULL), a.attgenerated = '' AND a.attidentity <> 'a',
                coalesce(pg_get_expr(d.adbin, d.adrelid) = 'gen_random_uuid()', false))
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
        ARRAY(SELECT json_build_array(i.indexrelid::regclass::text, ARRAY(
                SELECT a.attname FROM unnest(i.indkey[:i.indnkeyatts - 1]) WITH ORDINALITY k (attnum, place)
                JOIN pg_attribute a ON (a.attrelid, a.attnum) = (c.oid, k.attnum) ORDER BY k.place))
            FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique ORDER BY i.indexrelid),
        ARRAY(SELECT json_build_array(f.conname, tn.nspname, t.relname,
                ARRAY(SELECT a.attname FROM unnest(f.conkey) WITH ORDINALITY k (attnum, place)
                    JOIN pg_attribute a ON (a.attrelid, a.attnum) = (c.oid, k.attnum) ORDER BY k.place),
                ARRAY(SELECT a.attname FROM unnest(f.confkey) WITH ORDINALITY k (attnum, place)
                    JOIN pg_attribute a ON (a.attrelid, a.attnum) = (t.oid, k.attnum) ORDER BY k.place))
            FROM pg_constraint f JOIN pg_class t ON t.oid = f.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
            WHERE f.conrelid = c.oid AND f.contype = 'f' ORDER BY f.conname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1, 2
"""
_SEQUENCES: Final = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND c.relkind = 'S' ORDER BY 1, 2
"""
_FUNCTIONS: Final = f"""
    SELECT n.nspname, p.proname, ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY a (t, place)
        ORDER BY a.place), p.proargnames[:p.pronargs], p.prosecdef
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS} AND p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    ORDER BY 1, 2, 3
"""
# The first word that a rule allows a column of this name.
_WORDS: Final = f"""
    SELECT DISTINCT ON (a.attname) a.attname, (regexp_match(pg_get_constraintdef(k.oid), '''([a-z_]+)''::text'))[1]
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
    WHERE {_OURS} AND k.contype = 'c' AND cardinality(k.conkey) = 1 AND pg_get_constraintdef(k.oid) ~ '= ANY'
    ORDER BY a.attname, k.oid
"""
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Column:
    """`random` is one whose default is a random UUID."""

    name: str
    type: str
    written: bool
    random: bool


@dataclass(frozen=True)
class Unique:
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    name: str
    target: tuple[str, str]
    columns: tuple[str, ...]
    target_columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """
    A table or view. `owner` is the column that says whose a row is, None where none does. A `part` of another has that
    one's references, and its rows where they fall.
    """

    schema: str
    name: str
    kind: str
    part: bool
    owner: str | None
    columns: tuple[Column, ...]
    uniques: tuple[Unique, ...]
    references: tuple[Reference, ...]

    @property
    def said(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def written(self) -> list[str]:
        return [column.name for column in self.columns if column.written]

    def is_random(self, names: tuple[str, ...]) -> bool:
        """Whether this is one random UUID, which nobody guesses."""
        found = [column for column in self.columns if column.name in names]
        return len(names) == 1 and all(column.random for column in found)


@dataclass(frozen=True)
class Function:
    """`words` are what may stand at some places, where only certain words may."""

    schema: str
    name: str
    arguments: tuple[str, ...]
    words: dict[int, str]
    definer: bool

    @property
    def said(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"


@dataclass(frozen=True)
class Catalog:
    tables: dict[tuple[str, str], Table]
    sequences: list[sql.Identifier]
    functions: list[Function]

    @property
    def owned(self) -> list[Table]:
        """Those whose rows belong to somebody; views not among them."""
        return [t for t in self.tables.values() if t.owner is not None and t.kind in "rp"]


def read_catalog(connection: Connection) -> Catalog:
    tables = [_table(*row) for row in connection.execute(_TABLES.encode())]
    root = _root(tables)
    words: dict[str, str] = dict(connection.execute(_WORDS.encode()).fetchall())
    return Catalog(
        {(t.schema, t.name): _owned(t, root) for t in tables},
        [sql.Identifier(*row) for row in connection.execute(_SEQUENCES.encode())],
        [
            Function(schema, name, tuple(arguments), _words(words, names), definer)
            for schema, name, arguments, names, definer in connection.execute(_FUNCTIONS.encode())
        ],
    )


def _table(
    schema: str,
    name: str,
    kind: str,
    part: bool,
    columns: list[Any],
    uniques: list[Any],
    references: list[Any],
) -> Table:
    return Table(
        schema,
        name,
        kind,
        part,
        OWNER if any(column[0] == OWNER for column in columns) else None,
        tuple(Column(*column) for column in columns),
        tuple(Unique(each[0].split(".")[-1], tuple(each[1])) for each in uniques),
        tuple(Reference(r[0], (r[1], r[2]), tuple(r[3]), tuple(r[4])) for r in references),
    )


def _words(words: dict[str, str], names: list[str] | None) -> dict[int, str]:
    said = enumerate(name.removeprefix("p_") for name in names or ())
    return {place: words[name] for place, name in said if name in words}


def _root(tables: list[Table]) -> dict[tuple[str, str], str]:
    """The table of the tenants themselves, and its key: what owners' columns alone refer to."""
    return {
        reference.target: reference.target_columns[0]
        for table in tables
        for reference in table.references
        if reference.columns == (OWNER,)
    }


def _owned(table: Table, root: dict[tuple[str, str], str]) -> Table:
    key = root.get((table.schema, table.name))
    if key is None:
        return table
    return replace(table, owner=key)
