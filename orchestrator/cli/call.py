"""
One call of a command: the options that every command has, and the settings they lead to.

`command` puts these options before or after a command's own, so that `harborx --json runs` and
`harborx runs --json` are the same.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

if TYPE_CHECKING:
    from orchestrator.config import Configuration, Settings

P = ParamSpec("P")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file; default: $HARBORX_CONFIG, else ./config.toml if it is there.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one document a line.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
UserOption = Annotated[
    str | None,
    typer.Option("--user", metavar="EMAIL", help="Whose; default: the only account there is."),
]

_EVERYWHERE: Final[dict[str, tuple[Any, Any]]] = {
    "config": (ConfigOption, None),
    "json": (JsonOption, False),
    "debug": (DebugOption, False),
}
_SUPPLIERS: Final[dict[str, tuple[Any, Any]]] = {"user": (UserOption, None)}


@dataclass(frozen=True)
class Call:
    """What was asked of every command alike."""

    config: Path | None = None
    json: bool = False
    user: str | None = None

    def configuration(self, flags: Mapping[str, Any] | None = None) -> Configuration:
        """Raises `ConfigError`."""
        from orchestrator.config import load

        return load(settings_file(self.config, os.environ), os.environ, flags)

    def settings(self, flags: Mapping[str, Any] | None = None) -> Settings:
        return self.configuration(flags).settings


def settings_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The settings file: the given one, else the environment's, else ./config.toml, else none."""
    if given is not None:
        return given
    if environ.get("HARBORX_CONFIG"):
        return Path(environ["HARBORX_CONFIG"])
    here = Path("config.toml")
    return here if here.is_file() else None


def command(
    group: typer.Typer, name: str, *, for_supplier: bool = False
) -> Callable[[Callable[Concatenate[Call, P], None]], Callable[Concatenate[Call, P], None]]:
    """Register `function(call, ...)` as a command with the options that all have."""
    common = {**_EVERYWHERE, **(_SUPPLIERS if for_supplier else {})}

    def register(
        function: Callable[Concatenate[Call, P], None],
    ) -> Callable[Concatenate[Call, P], None]:
        @functools.wraps(function)
        def run(ctx: typer.Context, **given: Any) -> None:
            chosen = {option: given.pop(option) for option in common}
            before = ctx.find_root().params
            call = Call(
                config=chosen["config"] or before.get("config"),
                json=chosen["json"] or before.get("json", False),
                user=chosen.get("user"),
            )
            function(call, **given)  # type: ignore[call-arg]

        _describe(run, function, common)
        group.command(name)(run)
        return function

    return register


def _describe(
    run: Callable[..., None], function: Callable[..., None], common: Mapping[str, tuple[Any, Any]]
) -> None:
    """Give `run` the signature that typer reads: the function's own, then the common options."""

    def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(name, kind, annotation=annotation, default=default)

    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    parameters = [
        keyword("ctx", typer.Context, inspect.Parameter.empty),
        *(keyword(each.name, each.annotation, each.default) for each in own),
        *(keyword(name, annotation, default) for name, (annotation, default) in common.items()),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
