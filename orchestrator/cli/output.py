"""
Where output goes and how foreign text gets there: data to stdout, everything else to stderr.

Text that came from machines or clients is stripped of escapes and never read as markup.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from orchestrator.domain.sanitise import printable

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

_UNBOUNDED: Final = 100_000  # columns; a pipe has no width, so nothing is cut there


def say(text: str) -> None:
    """A line for people, to stderr."""
    print(_one_line(text), file=sys.stderr, flush=True)  # noqa: T201  this is where lines go out


def put(line: str) -> None:
    """A line of data, to stdout."""
    print(_one_line(line), flush=True)  # noqa: T201


def put_heading(line: str, style: str) -> None:
    """A line of data that a terminal shows in a colour."""
    from rich.text import Text

    console_on(sys.stdout).print(Text(cell(line), style=style))


def put_json(document: BaseModel | dict[str, Any]) -> None:
    """One document, one line; ASCII only, so a terminal can show it as it is."""
    content = document if isinstance(document, dict) else document.model_dump(mode="json")
    print(json.dumps(content), flush=True)  # noqa: T201


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table to stdout; aligned plain lines where stdout is not a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = console_on(sys.stdout)
    style = box.SIMPLE_HEAD if console.is_terminal else None
    table = Table(box=style, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console.print(table)


def put_pairs(pairs: Iterable[tuple[str, object]], *, indent: int = 0) -> None:
    """Named values to stdout, one a line."""
    shown = [(name, cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        put(f"{' ' * indent}{name.ljust(width)}  {value}".rstrip())


def put_block(title: str, text: str) -> None:
    """Several lines from a machine to stdout, each set in, so that none can pass for ours."""
    put(f"{title}:")
    for line in printable(text).splitlines():
        put(f"  | {line}")


def cell(value: object) -> str:
    """A value on one line, safe to show; a dash for what is not there."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(printable(str(value)).split())


def console_on(stream: TextIO) -> Console:
    """A console that reads no markup; NO_COLOR is honoured."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
        width=None if terminal else _UNBOUNDED,
    )


def _one_line(text: str) -> str:
    """Safe to show; a text of a machine must not look like lines of ours."""
    return printable(text).replace("\n", " ")
