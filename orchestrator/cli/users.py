"""`harborx users`: accounts that sign in with a password."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from orchestrator.cli.call import Call, command

app = typer.Typer()
users = typer.Typer(no_args_is_help=True, help="Accounts.")
app.add_typer(users, name="users")


@users.callback()
def _group() -> None:
    """Accounts."""


@command(users, "add")
def add(
    call: Call,
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin, one line.")
    ] = False,
) -> None:
    """Make an account. The password is asked for; it is never an argument."""
    asyncio.run(_add(call, email, _password(password_stdin)))


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise typer.BadParameter("There is no terminal to ask at; use --password-stdin.")
    asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return asked


async def _add(call: Call, email: str, password: str) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.runs.accounts import sign_up

    async with open_desk(call) as desk:
        user_id = await sign_up(desk.api, email, password)
    if call.json:
        put_json({"id": str(user_id), "email": email.lower()})
    else:
        say(f"Account {email.lower()} is made.")
