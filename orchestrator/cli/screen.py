"""Three ways to show a run while it goes: redrawn on a terminal, plain lines, NDJSON."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any, Protocol

from orchestrator.api.shapes import EventShape
from orchestrator.cli.output import console_on, put_json, say
from orchestrator.cli.run_view import RunView, advance, progress_line, sentence
from orchestrator.database.models import RunEvent


class Screen(Protocol):
    """Shows events in order; to be used as a context."""

    def show(self, event: RunEvent) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *_: object) -> None: ...


def screen_for(as_json: bool, view: RunView) -> Screen:
    """NDJSON goes to stdout; what is for people, from `view` on, goes to stderr."""
    if as_json:
        return JsonLines()
    return LiveScreen(view) if sys.stderr.isatty() else PlainLines(view)


class JsonLines(AbstractContextManager["JsonLines"]):
    def show(self, event: RunEvent) -> None:
        put_json(EventShape.of(event))

    def __exit__(self, *_: object) -> None:
        pass


class PlainLines(AbstractContextManager["PlainLines"]):
    """Each step once, and progress at each tenth."""

    def __init__(self, view: RunView) -> None:
        self._view = view

    def show(self, event: RunEvent) -> None:
        before, self._view = self._view, advance(self._view, event.type, event.body)
        for line in (sentence(event.type, event.body), progress_line(before, self._view)):
            if line:
                say(line)

    def __exit__(self, *_: object) -> None:
        pass


class LiveScreen(AbstractContextManager["LiveScreen"]):
    """Steps scroll by; below them phase, progress and gauges are redrawn."""

    def __init__(self, view: RunView) -> None:
        from rich.live import Live

        self._view = view
        self._console = console_on(sys.stderr)
        self._live = Live(
            get_renderable=lambda: draw(self._view),
            console=self._console,
            refresh_per_second=8,
            transient=True,
        )

    def __enter__(self) -> LiveScreen:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: RunEvent) -> None:
        from rich.text import Text

        self._view = advance(self._view, event.type, event.body)
        if line := sentence(event.type, event.body):
            self._console.print(Text(line, style=_STYLES.get(event.type, "")))


_STYLES = {
    "warning": "yellow",
    "refused": "red",
    "failed": "red",
    "retry": "yellow",
    "postponed": "yellow",
    "log": "dim",
}


def draw(view: RunView) -> Any:
    """The redrawn part: a spinner with the phase, a bar where the phase has a length, gauges."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    phase = Text(view.phase, style="bold")
    if view.total is None:
        spinner = Spinner("line", phase)
        return Group(spinner, Text(f"  {view.gauges}")) if view.gauges else spinner
    bar = Table.grid(padding=(0, 2, 0, 0))
    done = view.done or 0
    bar.add_row(
        Spinner("line", phase),
        ProgressBar(total=view.total, completed=done, width=32),
        Text(f"{done:,} of {view.total:,} images"),
    )
    return Group(bar, Text(f"  {view.gauges}")) if view.gauges else bar
