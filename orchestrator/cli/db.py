"""`harborx db`: bring the database to this program's schema, and say what it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.call import Call, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.database.months import Month

app = typer.Typer()
db = typer.Typer(no_args_is_help=True, help="The database.")
app.add_typer(db, name="db")


@command(db, "init")
def init(
    call: Call,
    reset_passwords: Annotated[
        bool,
        typer.Option("--reset-passwords", help="Set both logins' passwords anew, as configured."),
    ] = False,
) -> None:
    """Apply the schema and make the two logins; safe to repeat."""
    from orchestrator.cli.output import put_json, say
    from orchestrator.database.logins import database_logins
    from orchestrator.database.schema import SCHEMA_VERSION, apply_schema

    with database_logins(call.settings()) as logins:
        created = apply_schema(logins, reset_passwords=reset_passwords)
    if call.json:
        put_json({"created": created, "schema_version": SCHEMA_VERSION})
    elif created:
        say(f"The schema is made: version {SCHEMA_VERSION}, with both logins.")
    else:
        done = "The logins' passwords are set" if reset_passwords else "Nothing to do"
        say(f"{done}: the schema is on version {SCHEMA_VERSION}.")


@command(db, "months")
def months(
    call: Call,
    drop_after: Annotated[
        int | None,
        typer.Option(
            "--drop-after", min=1, help="Name what would go were so many whole months kept."
        ),
    ] = None,
) -> None:
    """The months that results lie in, and what they take; drops nothing (server.result_months does)."""
    import asyncio

    from orchestrator.cli.output import put_json, put_table
    from orchestrator.database.logins import database_logins

    settings = call.settings()
    kept = settings.server.result_months if drop_after is None else drop_after
    with database_logins(settings) as logins:
        found = asyncio.run(_months(logins.worker, kept))
    if call.json:
        put_json({"months": [month._asdict() for month in found]})
        return
    rows = [(m.name, m.begins, f"{m.bytes / 2**20:.1f}", m.results, m.goes) for m in found]
    put_table(("month", "begins", "MiB", "results", "goes"), rows)


async def _months(url: str, kept: int) -> Sequence[Month]:
    from orchestrator.database import months
    from orchestrator.database.session import SERVICE, Database

    database = Database(url, pool_size=1)
    try:
        async with database.transaction(SERVICE) as session:
            return await months.of_all(session, kept)
    finally:
        await database.close()


@command(db, "status")
def status(call: Call) -> None:
    """Where the database is, its version, and the schema on it."""
    from orchestrator.cli.output import put_json, put_pairs
    from orchestrator.database.logins import database_logins
    from orchestrator.database.schema import SCHEMA_VERSION
    from orchestrator.database.server import server_behind

    settings = call.settings()
    with database_logins(settings) as logins:
        server = server_behind(logins.owner)
    kind = "embedded" if settings.database.url is None else "configured"
    if call.json:
        put_json(
            {
                "kind": kind,
                "address": server.address,
                "server_version": server.version,
                "schema_version": server.schema_version,
                "needed_schema_version": SCHEMA_VERSION,
            }
        )
        return
    found = "none yet; run `harborx db init`"
    if server.schema_version is not None:
        found = f"version {server.schema_version}, this program needs {SCHEMA_VERSION}"
    put_pairs(
        [
            ("database", f"{kind}, {server.address}"),
            ("server", f"PostgreSQL {server.version}"),
            ("schema", found),
        ]
    )
