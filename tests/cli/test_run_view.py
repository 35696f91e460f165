"""The pure part of the live display: events in, view and sentences out."""

from __future__ import annotations

import io
from functools import reduce
from typing import Any

import pytest

from orchestrator.cli.output import console_on
from orchestrator.cli.run_view import Reading, RunView, advance, progress_line, sentence
from orchestrator.cli.screen import draw
from tests.cli.stories import EVENTS


def view_after(*events: tuple[str, dict[str, Any]]) -> RunView:
    return reduce(lambda view, event: advance(view, *event), events, RunView())


def test_a_run_begins_by_waiting() -> None:
    """Before its first event a run waits for a worker."""
    assert RunView().phase == "waiting for a worker"


def test_a_run_is_followed_through_its_events() -> None:
    """State, progress and readings are the newest ones told."""
    view = view_after(*EVENTS)
    assert (view.state, view.phase, view.done, view.total) == ("running", "measuring", 1024, 1024)
    assert view.readings == {0: Reading(510.0, 60.0)}
    assert view.gauges == "1,024.0 images/s   510 W 60 °C"


def test_the_drawn_part_has_phase_bar_and_gauges() -> None:
    """What is redrawn on a terminal: the phase, how far it is, and the gauges."""
    console = console_on(io.StringIO())
    console.print(draw(view_after(*EVENTS)))
    console.print(draw(RunView()))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "measuring" in drawn
    assert "1,024 of 1,024 images" in drawn
    assert "1,024.0 images/s   510 W 60 °C" in drawn
    assert "waiting for a worker" in drawn


def test_gauges_name_gpus_where_there_are_several() -> None:
    """With more than one GPU each reading says whose it is."""
    samples = [("sample", {"gpu_index": index, "power_watts": 100.0 + index}) for index in (1, 0)]
    assert view_after(*samples).gauges == "GPU 0 100 W   GPU 1 101 W"


def test_what_is_not_told_is_not_shown() -> None:
    """A machine without NVML has no gauges, and no zeros in their place."""
    assert view_after(("sample", {"gpu_index": 0, "power_watts": None})).gauges == ""


def test_a_second_start_forgets_the_first() -> None:
    """An agent that starts again begins its progress and readings again."""
    view = view_after(*EVENTS, ("started", {"agent": "1", "python": "3.11", "platform": "Linux"}))
    assert (view.done, view.total, view.readings) == (None, None, {})


@pytest.mark.parametrize(
    "event",
    [
        ("state", {"state": "judging"}),
        ("result", {"throughput_images_per_sec": 1.0}),
        ("postponed", {"code": "gpu_busy", "retry_in_seconds": 60.0}),
        ("ended", {"state": "passed"}),
    ],
)
def test_the_bar_ends_with_its_phase(event: tuple[str, dict[str, Any]]) -> None:
    """After measuring there is no progress left to show."""
    assert view_after(*EVENTS, event).total is None


def test_a_run_that_was_put_off_waits() -> None:
    """It is in the queue again, and the redrawn line says what it waits for."""
    view = view_after(*EVENTS, ("postponed", {"code": "gpu_busy", "retry_in_seconds": 60.0}))
    assert (view.state, view.phase) == ("queued", "put off: GPU busy")


def test_unknown_events_change_nothing() -> None:
    """Events of a newer program are passed over."""
    assert view_after(("hologram", {"x": 1})) == RunView()
    assert sentence("hologram", {"x": 1}) is None


def test_progress_is_told_at_each_tenth() -> None:
    """Lines that can't be redrawn come at a phase's start and at each tenth, not with every event."""
    view, lines = RunView(), []
    for done in range(1, 1001):
        after = advance(view, "progress", {"phase": "measure", "done": done, "total": 1000})
        lines.append(progress_line(view, after))
        view = after
    assert len([line for line in lines if line]) == 11


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("state", {"state": "connecting", "attempt": 1, "worker": "w"}, "connecting (worker w)"),
        (
            "state",
            {"state": "connecting", "attempt": 2, "worker": "w"},
            "connecting, attempt 2 (worker w)",
        ),
        (
            "state",
            {"state": "running", "attached": True, "pushed": False},
            "attached to the agent that is running there",
        ),
        (
            "host_key",
            {"fingerprint": "SHA256:a", "first_contact": True},
            "host key SHA256:a (first contact, now on record)",
        ),
        (
            "probe",
            {
                "gpu_name": "NVIDIA H100",
                "gpu_count": 8,
                "driver_version": "550.1",
                "ram_gb": 1000.0,
            },
            "machine: 8 x NVIDIA H100, driver 550.1, 1000.0 GiB memory",
        ),
        ("provision", {"step": "installing", "message": "torch"}, "installing torch: torch"),
        ("metric", {"name": "h2d", "value": 12.5, "unit": "GB/s"}, "h2d: 12.50 GB/s"),
        (
            "metric",
            {
                "name": "best training",
                "value": 4321.5,
                "unit": "images/s",
                "low": 4317.0,
                "high": 4326.0,
                "gpu_index": 3,
            },
            "best training (GPU 3): 4,322 images/s +-0.10 %",
        ),
        (
            "metric",
            {"name": "h2d", "value": None, "unit": "GB/s", "detail": {"error": "out of memory"}},
            "h2d: not measured: out of memory",
        ),
        ("warning", {"code": "hot", "message": "It is hot."}, "warning: It is hot. (hot)"),
        (
            "retry",
            {"code": "connection_lost", "message": "It broke.", "retry_in_seconds": 2.0},
            "It broke. Trying again in 2 s.",
        ),
        (
            "postponed",
            {"code": "gpu_busy", "message": "Somebody else.", "retry_in_seconds": 118.7},
            "GPU busy: put off, next try in 2 min",
        ),
        (
            "postponed",
            {"code": "machine_busy", "message": "Another test.", "retry_in_seconds": 30},
            "machine busy with another test: put off, next try in 30 s",
        ),
        (
            "postponed",
            {"code": "of_a_newer_program", "message": "It snows.", "retry_in_seconds": 7200},
            "It snows: put off, next try in 2.0 h",
        ),
        ("ended", {"state": "failed", "message": "No GPU."}, "failed: No GPU."),
        (
            "ended",
            {"state": "cancelled", "code": "cancelled", "message": "The test was cancelled."},
            "The test was cancelled.",
        ),
        ("sample", {"gpu_index": 0, "power_watts": 1.0}, None),
    ],
)
def test_each_event_has_its_sentence(kind: str, body: dict[str, Any], told: str | None) -> None:
    """Steps are told in words; what only moves a gauge is not."""
    assert sentence(kind, body) == told


@pytest.mark.parametrize(
    "kind", ["log", "refused", "failed", "warning", "provision", "started", "postponed", "ended"]
)
def test_texts_of_machines_are_made_safe(kind: str) -> None:
    """Escapes, controls and line breaks of a machine's text reach no terminal."""
    hostile = "\x1b]0;pwned\x07red\x1b[31m\r\nPASSED \u202e"
    body = dict.fromkeys(("text", "reason", "message", "code", "agent", "python"), hostile)
    told = sentence(kind, body)
    assert told is not None
    assert not {"\x1b", "\x07", "\r", "\n", "\u202e"} & set(told)


def test_the_first_figure_ends_the_bar_and_a_slowed_card_is_seen_at_once() -> None:
    """After the requested training there is no length to show; a card that heat slows says so beside its power."""
    view = advance(RunView(), "progress", {"phase": "measure", "done": 5, "total": 10})
    view = advance(
        view, "sample", {"gpu_index": 0, "power_watts": 300.0, "clock_reasons": ["sw_power_cap"]}
    )
    assert view.gauges == "300 W"
    view = advance(
        view, "sample", {"gpu_index": 0, "power_watts": 300.0, "clock_reasons": ["sw_thermal"]}
    )
    assert view.gauges == "300 W (slowed by heat)"
    view = advance(view, "metric", {"name": "training", "value": 1.0})
    assert (view.done, view.total) == (None, None)
    assert "profile" in view.phase
