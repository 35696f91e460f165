"""Both sides of docs/agent-contract.md: what the agent writes is what the orchestrator reads."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.domain.events import Failed, Measurement, Metric, ResultBody
from orchestrator.ssh.agent_archive import pack
from remote_agent import benchmark
from remote_agent import spec as agent_spec
from remote_agent.events import EventWriter
from remote_agent.failure import Failure
from remote_agent.machine import telemetry
from remote_agent.measure import parts, result, timing
from remote_agent.measure.devices import choose_device
from remote_agent.measure.plan import PLANS
from remote_agent.measure.result import Main
from remote_agent.measure.workload import Training
from tests.agent.instance import NONCE, Instance, decoded, spec

CONTRACT = Path(__file__).parents[2] / "docs" / "agent-contract.md"


@pytest.fixture
def stream(tmp_path: Path) -> tuple[EventWriter, Callable[[], bytes]]:
    """A writer on a file, and what it has written so far."""
    path = tmp_path / "events"
    writer = EventWriter(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), NONCE)
    return writer, path.read_bytes


def test_the_packed_agent_measures_and_every_line_is_the_contract(
    machine: Callable[..., Instance],
) -> None:
    """From `launch` by a Python without torch to `result`: all decodes, and the figures agree."""
    without_torch = os.path.realpath(sys.executable)  # the one this virtual environment is made of
    instance = machine(pack().content, without_torch)
    folder = os.path.dirname(sys.executable)
    instance.environ["PATH"] = f"{folder}:{instance.environ['PATH']}"
    session = instance.launch(spec())
    assert session.answer() == "begin started"
    end = session.end()
    assert (end["status"], end["reason"], end["bytes"]) == (0, None, len(session.stream()))
    events = decoded(session.stream())
    kinds = [event.body.type for event in events]
    assert kinds[:4] == ["started", "probe", "provision", "provision"]
    assert {"progress", "metric"} <= set(kinds[4:-1]) <= {"progress", "metric", "warning"}
    figures = [event.body for event in events if isinstance(event.body, Metric)]
    assert {"training", "inference"} <= {each.name for each in figures}
    assert all((each.configuration_hash is None) == (not each.configuration) for each in figures)
    assert os.path.dirname(events[3].body.interpreter) == folder
    body = events[-1].body
    assert isinstance(body, ResultBody)
    assert (body.batch_size, body.image_size, body.budget_seconds) == (125, 16, 0.3)
    assert body.images == 125 * body.steps >= 3 * 125
    assert body.throughput_images_per_sec == body.throughput_samples_per_sec
    assert math.isclose(body.throughput_images_per_sec, body.images / body.measured_seconds)
    assert math.isclose(body.latency_ms, body.measured_seconds / body.steps * 1000)
    assert (body.throughput_low or 0) <= body.throughput_images_per_sec
    told = {each.name: each for each in figures}
    assert told["training"].value == body.throughput_images_per_sec
    assert told["training"].configuration_hash == body.configuration_hash
    assert told["inference"].value == body.inference_images_per_sec
    assert body.measured_seconds < body.test_duration_seconds <= events[-1].t + 1e-6
    assert (body.device, body.precision, body.gpu_count) == ("cpu", "fp32", 0)
    assert body.gpu_name is body.memory_used_gb is body.power_draw_watts is body.cuda_version
    assert (body.parameters, body.torch_version) == (25_557_032, str(torch.__version__))
    assert body.raw_results["warmup_steps"] >= 2
    assert (body.channels_last, body.mode, body.profile) == (True, "eager", "quick")
    assert body.raw_results["first_loss"] > body.loss > 0


def test_every_field_of_the_measurement_is_written(stream: Any) -> None:
    """The result names each field that the decoder knows, so nothing is null by omission."""
    training = Training(agent_spec.Options(batch_size=2, image_size=32, device="cpu"), "cpu")
    training.step()
    timed = timing.Timing([0.5] * 500, 250.0, 250.0)
    nothing = telemetry.Telemetry([], stream[0]).summary()
    outcome = result.result(
        Main(training, timing.Warm(2, 1.0, 0.5, True), timed, nothing),
        parts.figure_of("training", training, timed),
        PLANS["quick"],
        [],
        [],
        {"ram_gb": 1.0, "cpu_count": 1, "disk_space_gb": 1.0, "driver_version": None,
         "gpu_name": None, "gpu_count": None, "cuda_version": None},
        300.0,
    )  # fmt: skip
    assert set(Measurement.model_fields) == set(outcome)
    stream[0].emit("result", **outcome)
    assert decoded(stream[1]())[0].terminal


def test_the_page_names_every_field_of_the_result() -> None:
    """The contract's table of the result and the decoder's model name the same fields."""
    table = CONTRACT.read_text().partition("`result`: the guide's payload")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(Measurement.model_fields)


def test_text_and_numbers_that_json_or_postgresql_refuse_are_mended(stream: Any) -> None:
    """NUL, lone surrogates, endless text, NaN and infinity never reach the stream."""
    writer, written = stream
    writer.emit("warning", code="a\0b", message="\ud800" + "x" * 99_999)
    writer.emit("metric", name="m", value=float("nan"), unit="s")
    writer.emit("metric", name="m", value=float("inf"), unit="s")
    warning, *metrics = decoded(written())
    assert warning.body.code == "a\ufffdb"
    assert [metric.body.value for metric in metrics] == [None, None]


def test_a_stream_is_carried_on_after_exec(stream: Any) -> None:
    """A second writer with the first one's seq and start continues it without gap or step back."""
    first, written = stream
    first.emit("warning", code="one", message="")
    second = EventWriter(first.fd, NONCE, first.seq, first.start)
    second.emit("warning", code="two", message="")
    one, two = decoded(written())
    assert (one.seq, two.seq) == (0, 1)
    assert one.t <= two.t


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failure("provision_failed", "m", "d" * 99_999), "provision_failed"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (ValueError("x" * 99_999), "benchmark_error"),
        (OSError(errno.EIO, "broken"), "benchmark_error"),
    ],
)
def test_every_failure_is_an_event(
    stream: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    """Whatever goes wrong ends the stream with one `failed` of the right code and a bounded detail."""

    def fail(*_: object) -> None:
        raise error

    writer, written = stream
    monkeypatch.setattr(benchmark, "_measure", fail)
    orders = agent_spec.parse(json.dumps(spec()))
    failure = benchmark._failure_of("", orders, writer, resumed=True)
    assert failure is not None
    writer.emit("failed", code=failure.code, message=failure.message, detail=failure.detail)
    body = decoded(written())[0].body
    assert isinstance(body, Failed)
    assert body.code == code
    assert len(body.detail) <= 4000


def test_a_full_disk_is_no_failed_event(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    """Where the disk is full nothing can be written, so the error goes up to the exit status."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(benchmark, "_measure", fail)
    orders = agent_spec.parse(json.dumps(spec()))
    with pytest.raises(OSError, match="full"):
        benchmark._failure_of("", orders, stream[0], resumed=True)


def test_a_gpu_that_is_demanded_and_missing_is_told() -> None:
    """device cuda without CUDA is gpu_missing; auto takes the CPU there."""
    assert choose_device("cpu") == "cpu"
    if torch.cuda.is_available():
        assert choose_device("auto") == choose_device("cuda") == "cuda"
        return
    assert choose_device("auto") == "cpu"
    with pytest.raises(Failure) as caught:
        choose_device("cuda")
    assert caught.value.code == "gpu_missing"
