"""What a measurement tells while it goes on: progress, figures, findings; and it keeps telemetry moving."""

import time
from typing import Any, Callable, List, Tuple

from remote_agent.events import EventWriter
from remote_agent.measure.figure import Figure, as_event

_PROGRESS_SECONDS = 0.5


class Report:
    """Events of one measurement. `keep_up` is called often: it must not wait."""

    def __init__(self, events: EventWriter, keep_up: Callable[[], None]) -> None:
        self._events = events
        self.keep_up = keep_up
        self._found: List[Tuple[str, Any]] = []

    def figure(self, figure: Figure) -> None:
        """Tells a figure."""
        self._events.emit("metric", **as_event(figure))
        self.keep_up()

    def finding(self, code: str, message: str, of: Any = None) -> None:
        """Tells what is odd about the machine, each code once `of` a card or a part."""
        if (code, of) not in self._found:
            self._found.append((code, of))
            self._events.emit("warning", code=code, message=message)

    def quiet(self, _done: int, _seconds: float) -> None:
        """Progress that nobody needs to hear of."""
        self.keep_up()

    def progress(self, phase: str, batch_size: int, expected_steps: int) -> "Progress":
        """Progress of `phase`, warmup or measure, in images."""
        return Progress(self, phase, batch_size, expected_steps)

    def tell_progress(self, phase: str, done: int, total: int, rate: Any) -> None:
        self._events.emit("progress", phase=phase, done=done, total=total, images_per_sec=rate)


class Progress:
    """Passed to what times steps; tells at most twice a second, and at the end."""

    def __init__(self, report: Report, phase: str, batch_size: int, expected_steps: int) -> None:
        self._report = report
        self._phase = phase
        self._batch = batch_size
        self._expected = expected_steps
        self._told_at = 0.0
        self._last = (0, 0.0)

    def __call__(self, done: int, seconds: float) -> None:
        self._last = (done, seconds)
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            # How many steps there will be is not known: as many as it takes to be exact.
            self._tell(max(self._expected, done + 1))
        self._report.quiet(done, seconds)

    def begin(self) -> None:
        """The phase begins: whoever watches takes the time from here."""
        self._tell(self._expected)

    def finish(self) -> None:
        """The phase is over: all that was to be done is done."""
        self._tell(self._last[0])

    def _tell(self, total: int) -> None:
        done, seconds = self._last
        rate = done * self._batch / seconds if seconds > 0 else None
        self._report.tell_progress(self._phase, done * self._batch, total * self._batch, rate)
