"""Runs from the command line: asked for, watched, listed, and ended with their exit status."""

from __future__ import annotations

import os
import pty
import signal
import threading
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from orchestrator.cli.live import PATIENCE
from orchestrator.database import events
from orchestrator.domain.errors import (
    AgentCrashed,
    AgentTimedOut,
    DatabaseUnavailable,
    HostKeyChanged,
    HostUnreachable,
    LoginRefused,
    ProvisionFailed,
    RunCancelled,
    RunError,
)
from orchestrator.runs.conclude import Outcome
from tests.cli.conftest import Harborx, process
from tests.cli.stories import EVENTS, Storyteller, passing

LINK = "[link=https://evil.example]click[/link]"
HOSTILE = f"\x1b]0;pwned\x07\x1b[31m{LINK}\x1b]8;;https://evil.example\x07"


def test_a_requested_run_is_shown_to_its_end(harborx: Harborx, story: Storyteller) -> None:
    """`test` requests one run, tells its steps on stderr and its result on stdout, and exits 0."""
    worker = threading.Thread(target=_work, args=(story,), daemon=True)
    worker.start()
    finished = harborx("test", "m1")
    worker.join()
    assert finished.status == 0
    assert "host key SHA256:abc" in finished.err
    assert "measuring: 1,024 of 1,024 images, 1,024.0 images/s   510 W 60 °C" in finished.err
    assert finished.out.startswith("PASSED m1")
    assert "1,024.00 images/s" in finished.out
    assert "ok  GPU model: claimed NVIDIA H100, measured NVIDIA H100 80GB HBM3" in finished.out


def _work(story: Storyteller) -> None:
    """What a worker does: take the run that appears, and end it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := story.runs():
            story.tell(found[0].id, passing())
            return


def test_a_stream_ends_with_the_run(harborx: Harborx, story: Storyteller) -> None:
    """With --json every event is a line, numbered from 1, and the run with its result is the last."""
    run_id = story.finished(passing())
    finished = harborx("watch", str(run_id), "--json")
    *events, last = finished.documents
    assert finished.status == 0
    assert [event["seq"] for event in events] == list(range(1, len(EVENTS) + 3))
    assert events[0]["type"] == "state"
    assert (last["id"], last["state"]) == (str(run_id), "passed")
    assert last["result"]["compute_miles_per_hour"] == pytest.approx(1024 * 1.5 * 3600)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HostUnreachable("No answer."), 4),
        (HostKeyChanged(), 5),
        (LoginRefused(), 6),
        (AgentTimedOut(evidence={"stderr_tail": "one\ntwo"}), 8),
        (AgentCrashed("Exit status 1."), 3),
        (ProvisionFailed(), 9),
    ],
)
def test_an_ended_run_exits_by_its_code(
    harborx: Harborx, story: Storyteller, error: RunError, status: int
) -> None:
    """The exit status of watching is that of the run; code, sentence and remedy are shown."""
    run_id = story.finished(Outcome.of_error(error))
    finished = harborx("watch", str(run_id))
    assert finished.status == status
    assert f"{error.code}: {error}" in finished.out
    assert f"What to do: {error.remedy}" in finished.out


def test_a_cancelled_run_exits_7(harborx: Harborx, story: Storyteller) -> None:
    """A cancelled run is neither passed nor failed."""
    run_id = story.finished(Outcome.of_error(RunCancelled()), told=())
    assert harborx("watch", str(run_id)).status == 7


def test_a_queued_run_is_cancelled_at_once(harborx: Harborx, story: Storyteller) -> None:
    """`cancel` ends what no worker has, says so and exits 7; a second time it finds the run ended."""
    run_id = story.request()
    finished = harborx("cancel", str(run_id))
    assert finished.status == 7
    assert finished.out.startswith("CANCELLED m1")
    assert "was waiting; it is cancelled" in finished.err
    assert [run.state for run in story.runs()] == ["cancelled"]
    again = harborx("cancel", str(run_id), "--json")
    assert (again.status, again.document["state"]) == (7, "cancelled")
    assert "had ended already: cancelled" in again.err


def test_a_run_at_work_is_waited_for(harborx: Harborx, story: Storyteller) -> None:
    """`cancel` says that the machine comes first, and ends with the run; what was told before is not told again."""
    run_id = story.request()
    story.claim(run_id)
    worker = threading.Thread(target=_heed, args=(story,), daemon=True)
    worker.start()
    finished = harborx("cancel", str(run_id))
    worker.join()
    assert finished.status == 7
    assert "it is ended on the machine first" in finished.err
    assert "The test was cancelled." in finished.err
    assert "connecting (worker w1)" not in finished.err
    assert finished.out.startswith("CANCELLED m1")


def _heed(story: Storyteller) -> None:
    """What a worker does with a run that somebody cancels."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        [run] = story.runs()
        if run.cancel_requested_at is not None:
            story.tell(run.id, Outcome.of_error(RunCancelled()), told=())
            return


def test_a_cancelled_run_need_not_be_waited_for(harborx: Harborx, story: Storyteller) -> None:
    """With --no-wait the wish is on record, and the run still its worker's."""
    run_id = story.request()
    story.claim(run_id)
    finished = harborx("cancel", str(run_id), "--no-wait", "--json")
    assert finished.status == 0
    assert finished.document["cancel_requested_at"] is not None
    assert finished.document["finished"] is False
    assert "cancel requested" in harborx("runs", str(run_id)).out


def test_too_late_is_said(harborx: Harborx, story: Storyteller) -> None:
    """A run that has passed stays so: that is told, and the exit status is the run's."""
    run_id = story.finished(passing())
    finished = harborx("cancel", str(run_id))
    assert finished.status == 0
    assert "had ended already: passed. Nothing is changed." in finished.err
    assert finished.out.startswith("PASSED m1")


def test_leaving_does_not_take_a_cancellation_back(story: Storyteller) -> None:
    """Ctrl-C while a run is being ended says that it is ended all the same."""
    run_id = story.request()
    story.claim(run_id)
    with process("cancel", str(run_id)) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "No worker" in line:
                break
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        assert running.wait(timeout=20) == 130
    assert "It stays cancelled" in rest
    assert "The run goes on" not in rest
    assert [run.cancel_requested_at is None for run in story.runs()] == [False]


def test_a_run_that_was_put_off_says_until_when(harborx: Harborx, story: Storyteller) -> None:
    """One run in full tells when it is tried again; after its end that is of no interest."""
    run_id = story.request()
    story.alter("UPDATE gpu_test_runs SET not_before = now() + interval '2 minutes'")
    assert "put off until" in harborx("runs", str(run_id)).out
    assert harborx("runs", str(run_id), "--json").document["not_before"] is not None
    harborx("cancel", str(run_id))
    assert "put off until" not in harborx("runs", str(run_id)).out


@pytest.mark.parametrize(("failures", "status"), [(3, 0), (PATIENCE + 1, 1)])
def test_a_restart_of_the_database_is_waited_for(
    harborx: Harborx,
    story: Storyteller,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    status: int,
) -> None:
    """Watching outlives a database that is away for a moment, and not one that stays away."""
    run_id = story.finished(passing())
    left, read = [DatabaseUnavailable()] * failures, events.after

    async def after(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return await read(*arguments)

    monkeypatch.setattr(events, "after", after)
    monkeypatch.setattr("orchestrator.cli.live.POLL_SECONDS", 0)
    finished = harborx("watch", str(run_id), "--json")
    assert finished.status == status
    assert "internal" not in finished.err


def test_no_wait_gives_the_id(harborx: Harborx, story: Storyteller) -> None:
    """--no-wait prints the run's id alone and says how to watch it, and that nobody works."""
    finished = harborx("test", "m1", "--no-wait", "--batch-size", "8")
    [run] = story.runs()
    assert finished.out.strip() == str(run.id)
    assert run.options == {"batch_size": 8}
    assert run.requested_by == "cli"
    assert f"harborx watch {run.id}" in finished.err
    assert "No worker is running; start one: harborx serve" in finished.err


def test_a_living_worker_is_not_missed(harborx: Harborx, story: Storyteller) -> None:
    """Where a worker was heard of lately, nobody is told to start one."""
    story.a_worker_is_alive()
    assert "No worker" not in harborx("test", "m1", "--no-wait").err


def test_a_run_in_progress_is_joined(harborx: Harborx, story: Storyteller) -> None:
    """A second `test` of an instance attaches to the run in progress and says so."""
    run_id = story.request()
    finished = harborx("test", "m1", "--no-wait", "--json")
    assert finished.document["id"] == str(run_id)
    assert f"in progress already: run {run_id}" in finished.err
    assert len(story.runs()) == 1


def test_bad_options_are_named(harborx: Harborx, story: Storyteller) -> None:
    """Options out of range are refused before anything is requested."""
    finished = harborx("test", "m1", "--json", "--batch-size", "0", "--device", "tpu")
    assert (finished.status, finished.error["error"]) == (2, "invalid_input")
    assert "--batch-size" in finished.error["message"]
    assert "--device" in finished.error["message"]
    assert story.runs() == []


def test_an_interrupt_leaves_the_run_going(story: Storyteller) -> None:
    """Ctrl-C ends the watching and not the run, and says how to watch it again and how to end it."""
    with process("test", "m1") as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "No worker" in line:
                break
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        assert running.wait(timeout=20) == 130
    [run] = story.runs()
    assert f"harborx watch {run.id}" in rest
    assert f"harborx cancel {run.id}" in rest
    assert "Traceback" not in rest
    assert run.state == "queued"


def test_runs_are_listed_and_shown(harborx: Harborx, story: Storyteller) -> None:
    """The list has a line a run, newest first; one run is shown with what to do about its error."""
    first = story.finished(passing())
    second = story.finished(
        Outcome.of_error(AgentTimedOut(evidence={"signal": "SIGKILL", "stderr_tail": "one\ntwo\n"}))
    )
    lines = harborx("runs").out.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", str(second), str(first)]
    assert "agent_timed_out" in lines[1]
    assert len(harborx("runs", "--limit", "1", "--json").documents) == 1
    shown = harborx("runs", str(second)).out
    assert "What to do: " in shown
    assert "  | one\n  | two\n" in shown
    assert "SIGKILL" in shown


def test_a_run_as_a_document_is_the_apis(harborx: Harborx, story: Storyteller) -> None:
    """A run's document names code and remedy and holds nothing that signs the machine's lines."""
    run_id = story.finished(Outcome.of_error(HostUnreachable()))
    document = harborx("runs", str(run_id), "--json").document
    assert document["error"]["code"] == "host_unreachable"
    assert document["error"]["remedy"]
    assert "nonce" not in document
    [run] = story.runs()
    assert run.nonce not in harborx("watch", str(run_id), "--json").out


def test_results_are_listed_and_shown(harborx: Harborx, story: Storyteller) -> None:
    """A result is a line in the list, and figures with units, conditions and verdict on its own."""
    run_id = story.finished(passing())
    listed = harborx("results").out.splitlines()
    assert listed[1].split()[:4] == [str(run_id), "m1", "passed", "1,024.0"]
    shown = harborx("results", str(run_id)).out
    assert "compute miles  5,529,600 an hour (harborx-v1)" in shown
    assert "memory         10.5 of 80.0 GiB at most" in shown
    assert "batch 32, 1 epoch, 224 px, fp32" in shown
    assert harborx("results", str(run_id), "--json").document["run_id"] == str(run_id)


def test_a_run_without_a_result_says_why(harborx: Harborx, story: Storyteller) -> None:
    """Asking for the result of a run that has none names its state and code."""
    run_id = story.finished(Outcome.of_error(HostUnreachable()))
    finished = harborx("results", str(run_id), "--json")
    assert (finished.status, finished.error["error"]) == (1, "not_found")
    assert "failed (host_unreachable)" in finished.error["message"]


def test_the_runs_of_another_supplier_are_not_there(harborx: Harborx, story: Storyteller) -> None:
    """A command acts for one supplier, who sees own runs only."""
    run_id = story.finished(passing())
    story.add_supplier("other@example.com")
    other = harborx("runs", str(run_id), "--user", "other@example.com", "--json")
    assert other.error["error"] == "not_found"
    assert harborx("runs", "--user", "other@example.com", "--json").documents == []


def _hostile_run(story: Storyteller) -> UUID:
    told = [
        ("state", {"state": "connecting", "attempt": 1, "worker": HOSTILE}),
        ("probe", {"gpu_name": HOSTILE, "gpu_count": 1}),
        ("log", {"text": HOSTILE}),
        ("refused", {"reason": HOSTILE, "text": HOSTILE}),
    ]
    return story.finished(passing(gpu_name=f"NVIDIA H100 {HOSTILE}"), told)


@pytest.mark.parametrize("verb", ["watch", "runs", "results"])
def test_hostile_text_is_neutralised(harborx: Harborx, story: Storyteller, verb: str) -> None:
    """Escapes of a machine do not reach the terminal, and its brackets are text, not markup."""
    finished = harborx(verb, str(_hostile_run(story)))
    assert finished.status == 0
    assert not {"\x1b", "\x07"} & set(finished.out + finished.err)
    assert LINK in finished.out


def test_a_list_with_hostile_names_keeps_its_lines(harborx: Harborx, story: Storyteller) -> None:
    """A name with line breaks can't forge a row of a table."""
    story.finished(passing(gpu_name=f"NVIDIA H100\nforged row {HOSTILE}"))
    listed = harborx("results").out
    assert len(listed.splitlines()) == 2
    assert "\x1b" not in listed


def test_a_terminal_gets_a_live_display(story: Storyteller) -> None:
    """On a terminal the display is redrawn, and still nothing of a machine's escapes gets through."""
    run_id = _hostile_run(story)
    ours, theirs = pty.openpty()
    with process("watch", str(run_id), stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        seen = _read_all(ours)
        assert running.wait(timeout=20) == 0
    os.close(ours)
    assert "\x1b[?25l" in seen  # the cursor is hidden while drawing: it is a live display
    assert "]8;;" not in seen
    assert "]0;pwned" not in seen
    assert "[link=https://evil" in seen
    assert "PASSED" in seen


def _read_all(handle: int) -> str:
    data = b""
    with suppress(OSError):  # Linux answers EIO when the other side is gone
        while block := os.read(handle, 65_536):
            data += block
    return data.decode("utf-8", "replace")
