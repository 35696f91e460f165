"""`harborx config`: the settings in force and where each came from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from orchestrator.cli.call import Call, command

app = typer.Typer()
config = typer.Typer(no_args_is_help=True, help="The settings.")
app.add_typer(config, name="config")


@config.callback()
def _group() -> None:
    """The settings."""


@command(config, "show")
def show(
    call: Call,
    origin: Annotated[
        bool, typer.Option("--origin", help="Also where each value came from.")
    ] = False,
) -> None:
    """Print every setting; secrets are masked."""
    from orchestrator.cli.output import put_json, put_pairs, put_table
    from orchestrator.config import settings_of

    configuration = call.configuration()
    origins = configuration.origins
    shown = [(name, _masked(value)) for name, value in settings_of(configuration.settings)]
    if call.json:
        for name, value in shown:
            put_json({"name": name, "value": value, "origin": origins[name]})
    elif origin:
        rows = ((name, _text(value), origins[name]) for name, value in shown)
        put_table(("SETTING", "VALUE", "ORIGIN"), rows)
    else:
        put_pairs((name, _text(value)) for name, value in shown)


def _masked(value: Any) -> Any:
    """As JSON has it; `SecretStr` shows itself as asterisks."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return str(value)


def _text(value: Any) -> str:
    if value is None:
        return "(unset)"
    if isinstance(value, list):
        return ", ".join(value) or "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)
