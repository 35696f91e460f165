"""
What hostile machines say, followed to everywhere it is shown, and what still controls a terminal, turns a line or hides
in it there.

Each output goes through the agent's decoder, and as it is (as rows of an older program might hold it, or results that
were submitted by hand) into every renderer: lines and tables of the command line on a terminal and on a pipe, its JSON, the
API's shapes, badge, problems, and our log. A share of them goes the whole way, through PostgreSQL, the commands and the
API itself, its event stream included.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from bench.attacks.ground import Ground
from bench.attacks.record import Played
from bench.attacks.shown import payloads
from bench.attacks.shown.whole_way import whole_way
from bench.attacks.silence import silence
from orchestrator import log
from orchestrator.api import shapes
from orchestrator.cli import output, report, screen
from orchestrator.cli.run_view import RunView, advance
from orchestrator.database.models import Result, Run, RunEvent
from orchestrator.domain.badge import badge
from orchestrator.domain.events import Decoder, Event, LogLine, Refused

_WHOLE_SHARE: Final = 50  # one in so many goes the whole way
_NONCE: Final = "0f" * 16
_SENTENCES: Final = 30
_TELL_EACH: Final = 2000
_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
# What rich itself sends to a terminal: colours, and where the cursor is.
_OURS: Final = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[AKG]|\r")


@dataclass
class _Tally:
    attempted: int = 0
    shown: int = 0
    surfaces: dict[str, int] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)

    def look(self, surface: str, texts: Iterable[str]) -> bool:
        """Whether something got through on this surface."""
        self.surfaces[surface] = self.surfaces.get(surface, 0) + 1
        for told in texts:
            if found := payloads.controls(told):
                self.sentences.append(f"{surface}: {found[0]!r} in {told[:120]!r}")
                return True
        return False


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def play(ground: Ground, count: int, seed: int) -> Played:
    """`count` outputs by `seed`."""
    dice = random.Random(seed)
    tally = _Tally()
    whole = max(1, count // _WHOLE_SHARE)
    for number in range(count - whole):
        tally.attempted += 1
        tally.shown += _rendered(dice, tally)
        if number % _TELL_EACH == _TELL_EACH - 1:
            print(f"shown: {number + 1} rendered, {tally.shown} got through", file=sys.stderr)
    with silence():
        async for surface, texts in whole_way(ground, dice, whole):
            tally.attempted += surface == "output"
            tally.shown += surface != "output" and tally.look(surface, texts)
    figures = {"whole_way": whole, "surfaces": dict(sorted(tally.surfaces.items()))}
    sentences = tuple(tally.sentences[:_SENTENCES])
    return Played(tally.attempted, {"controls": tally.shown}, figures, sentences=sentences)


def _rendered(dice: random.Random, tally: _Tally) -> bool:
    """One output in every renderer; whether something of it got through anywhere."""
    raw = payloads.storable(dice)
    events = [*_decoded(dice), _raw_event(dice, raw)]
    found = [tally.look(name, texts) for name, texts in _texts(raw, events)]
    return any(found)


def _decoded(dice: random.Random) -> list[RunEvent]:
    """What the decoder makes of one event, one line that is none, and one that breaks the contract."""
    decoder = Decoder(_NONCE)
    _, line = payloads.event(dice, _NONCE, 0)
    noise = payloads.line(dice) + f'{{"nonce": "{_NONCE}", '.encode() + payloads.line(dice)
    events = []
    for item in decoder.feed(line + noise):
        match item:
            case Event(_, t, body):
                events.append(_event(body.type, body.model_dump(exclude={"type"}), t))
            case LogLine(text):
                events.append(_event("log", {"text": text}))
            case Refused(reason, excerpt):
                events.append(_event("refused", {"reason": reason, "text": excerpt}))
    return events


def _raw_event(dice: random.Random, raw: str) -> RunEvent:
    """An event as no decoder of ours has seen it."""
    kind, body = dice.choice(
        (
            ("log", {"text": raw}),
            ("warning", {"code": raw, "message": raw}),
            ("failed", {"code": raw, "message": raw, "detail": raw}),
            ("state", {"state": raw, "worker": raw}),
            ("probe", {"gpu_name": raw, "gpu_count": 1, "driver_version": raw, "cpu_model": raw}),
            ("ended", {"state": raw, "message": raw, "code": raw, "verdict": [{raw: raw}]}),
            ("metric", {"name": raw, "unit": raw, "value": 1.0, "detail": {raw: [raw]}}),
            ("refused", {"reason": raw, "text": raw}),
            ("host_key", {"fingerprint": raw}),
        )
    )
    return _event(kind, body)


def _event(kind: str, body: dict[str, Any], t: float | None = None) -> RunEvent:
    return RunEvent(run_id=uuid4(), seq=1, user_id=uuid4(), at=_AT, t=t, type=kind, body=body)


def _texts(raw: str, events: list[RunEvent]) -> Iterator[tuple[str, list[str]]]:
    """Each surface with what it shows."""
    run, result = _run(raw), _result(raw)
    yield "decoder", [each for event in events[:-1] for each in payloads.texts_in(event.body)]
    yield "cli plain", [_captured(io.StringIO(), lambda: _print(raw, run, result, events))]
    yield "cli terminal", [_OURS.sub("", _captured(_Terminal(), lambda: _live(events)))]
    documents = _captured(io.StringIO(), lambda: _print_json(run, result, events))
    yield (
        "cli json",
        [documents, *payloads.texts_in([json.loads(each) for each in documents.splitlines()])],
    )
    yield (
        "api",
        [
            *(
                each
                for event in events
                for each in payloads.texts_in(_dumped(shapes.EventShape.of(event)))
            ),
            *payloads.texts_in(_dumped(shapes.RunShape.of(run, result))),
        ],
    )
    yield "badge", [badge(raw, 1.0)]
    yield "log", [_logged(raw)]


def _print(raw: str, run: Run, result: Result, events: list[RunEvent]) -> None:
    with screen.screen_for(False, RunView()) as plain:
        for event in events:
            plain.show(event)
    output.say(raw)
    output.put(raw)
    output.put_table(("A", "B"), [(raw, raw)])
    output.put_block(raw, raw)
    report.put_error(run)
    report.put_result(result)


def _live(events: list[RunEvent]) -> None:
    view = RunView()
    console = output.console_on(sys.stderr)
    for event in events:
        view = advance(view, event.type, event.body)
        console.print(screen.draw(view))
    with screen.screen_for(False, RunView()) as live:
        for event in events:
            live.show(event)


def _print_json(run: Run, result: Result, events: list[RunEvent]) -> None:
    for event in events:
        output.put_json(shapes.EventShape.of(event))
    output.put_json(shapes.RunShape.of(run, result))


def _captured(stream: io.StringIO, show: Callable[[], None]) -> str:
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        show()
    return stream.getvalue()


def _dumped(shape: Any) -> Any:
    return shape.model_dump(mode="json")


def _logged(raw: str) -> str:
    """Lines of our log as a terminal gets them: one of ours, and one of a library."""
    with contextlib.redirect_stderr(_Terminal()):
        formatter = log.formatter("console")
    ours = logging.LogRecord("ours", logging.WARNING, "", 0, "", None, None)
    ours.msg = {"event": "run.refused_by_machine", "reason": raw, "told": {raw: [raw]}}  # type: ignore[assignment]
    vars(ours).update(_logger=None, _name="warning", _from_structlog=True)
    foreign = logging.LogRecord("foreign", logging.WARNING, "", 0, "it says: %s", (raw,), None)
    return _OURS.sub("", f"{formatter.format(ours)}\n{formatter.format(foreign)}")


def _run(raw: str) -> Run:
    """A run that ended, each text of which is `raw`."""
    same = dict.fromkeys(Run.model_fields)
    return Run(
        **{
            **same,
            **{name: uuid4() for name in ("id", "user_id", "instance_id")},
            **dict.fromkeys(("epoch", "attempt", "retries", "last_seq"), 1),
            **dict.fromkeys(("state", "worker", "error_code", "error_message"), raw),
            "requested_by": "api",
            "options": {},
            "evidence": {"stderr_tail": raw, raw: [{raw: raw}], "lines": f"{raw}\n{raw}"},
            "created_at": _AT,
        }
    )


def _result(raw: str) -> Result:
    """A result, each text of which is `raw`, but for `raw_results`."""
    numbers = ("throughput_images_per_sec", "batch_size", "num_epochs", "image_size")
    texts = (
        *("source", "test_type", "measured_gpu_name", "profile", "mode", "device", "precision"),
        *("model_source", "torch_version", "cuda_version", "driver_version", "agent_sha256"),
        *("verdict", "error_message", "compute_miles_formula", "configuration_hash"),
    )
    told = [{"check": raw, "text": raw, "passed": None, "code": raw, "message": raw, raw: raw}]
    return Result(
        **{
            **dict.fromkeys(Result.model_fields),
            **{name: uuid4() for name in ("id", "user_id", "gpu_instance_id", "run_id")},
            **dict.fromkeys(numbers, 1),
            **dict.fromkeys(texts, raw),
            "findings": told,
            "evidence": told,
            "configuration": {raw: raw},
            "raw_results": {"as it came": raw},
            "created_at": _AT,
        }
    )
