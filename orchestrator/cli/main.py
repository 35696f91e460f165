"""
`harborx`: the application and what happens when a command can't do its work.

Only typer is imported here and at the top of the command modules, so that help is instant; each command
imports what it needs when it is called.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated

import typer
from typer.main import get_command

from orchestrator.cli import (
    config,
    db,
    demo,
    host_keys,
    keys,
    listing,
    onboard,
    schedule,
    serving,
    testing,
    users,
    vault_keys,
)
from orchestrator.cli.call import ConfigOption, DebugOption, JsonOption
from orchestrator.cli.exit_codes import ERROR, USAGE, status_of_error
from orchestrator.domain.errors import HarborxError
from orchestrator.domain.sanitise import printable

app = typer.Typer(
    name="harborx",
    help="Tests GPU machines over SSH and keeps what was measured.",
    epilog="Exit status: 0 passed, 1 error, 2 usage, 3 test failed, 4 unreachable, 5 host key, "
    "6 login refused, 7 cancelled, 8 timed out, 9 inconclusive.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    serving,
    demo,
    onboard,
    testing,
    listing,
    host_keys,
    schedule,
    users,
    keys,
    vault_keys,
    db,
    config,
):
    app.add_typer(group.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("harborx-orchestrator"))
        raise typer.Exit


@app.callback()
def options(
    config: ConfigOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Tests GPU machines over SSH and keeps what was measured."""


def main() -> None:
    """The console script."""
    if "--debug" not in sys.argv:
        sys.excepthook = _tell_fault
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """One command; its exit status. Errors are told on stderr, as JSON where that was asked for."""
    as_json = "--json" in arguments
    if any("\udc80" <= character <= "\udcff" for each in arguments for character in each):
        _tell(as_json, "usage", "An argument is not valid UTF-8.", "Check the terminal's encoding.")
        return USAGE
    try:
        # Not `app(...)`, which puts a hook of typer's in the place of ours. In JSON, usage errors are told by us.
        program = get_command(app)
        status = program.main(list(arguments), prog_name="harborx", standalone_mode=not as_json)
    except typer.TyperException as error:
        _tell(as_json, "usage", error.format_message(), "See --help.")
        return USAGE
    except typer.Abort:
        return ERROR
    except HarborxError as error:
        if "--debug" in arguments:
            raise
        _tell(as_json, error.code, str(error), error.remedy)
        return status_of_error(error.code)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else USAGE
    return status if isinstance(status, int) else 0


def _tell(as_json: bool, code: str, message: str, remedy: str) -> None:
    if as_json:
        text = json.dumps({"error": code, "message": message, "remedy": remedy})
    else:
        text = f"{printable(message)}\nWhat to do: {remedy}"
    typer.echo(text, err=True)


def _tell_fault(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """A fault of ours: named as such, without a traceback (--debug shows it)."""
    fault = HarborxError(f"{kind.__name__}; run the command with --debug to see where.")
    _tell("--json" in sys.argv, fault.code, str(fault), fault.remedy)
