"""The measurement as a whole: its order, what a failing part costs, and what is seen of the cards meanwhile."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.domain.events import Metric, ResultBody, Telemetry, Warned
from orchestrator.domain.series import unpack
from remote_agent import spec as agent_spec
from remote_agent.events import EventWriter
from remote_agent.failure import Failure
from remote_agent.machine import probe, series
from remote_agent.machine import telemetry as readings
from remote_agent.measure import checks, devices, kernels, measurement, parts, result, timing
from remote_agent.measure.plan import PLANS
from remote_agent.measure.report import Report
from remote_agent.measure.workload import Training
from tests.agent.driver import card, scripted
from tests.agent.instance import NONCE, decoded, spec, until

SMALL = {"batch_size": 16, "image_size": 16, "device": "cpu", "budget_seconds": 0.1}


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[tuple[EventWriter, Callable[[], list[Any]]]]:
    """A writer on a file, and the bodies of what it has written."""
    path = tmp_path / "events"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield EventWriter(fd, NONCE), lambda: [event.body for event in decoded(path.read_bytes())]
    os.close(fd)


def measured(stream: Any, **options: Any) -> list[Any]:
    """The bodies of a measurement on this machine's CPU."""
    orders = agent_spec.parse(json.dumps(spec(options={**SMALL, **options})))
    measurement.measure(orders, stream[0], probe.probe())
    return stream[1]()  # type: ignore[no-any-return]


def test_the_requested_training_comes_first_and_the_result_last(stream: Any) -> None:
    """Every profile measures the guide's figure alike: before anything else has warmed the device."""
    told = measured(stream)
    figures = [body for body in told if isinstance(body, Metric)]
    assert [body.name for body in figures][:2] == ["training", "inference"]
    assert isinstance(told[-1], ResultBody)
    first = told.index(figures[0])
    progress = [n for n, body in enumerate(told) if body.type == "progress"]
    assert max(progress) < first
    assert told[max(progress)].done == told[max(progress)].total == told[-1].images


def test_a_part_that_fails_costs_nobody_the_result(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as a figure without a value, with its reason, and the others are measured."""

    def break_down(*_: object) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(kernels, "matmul", break_down)
    told = measured(stream)
    figures = {body.name: body for body in told if isinstance(body, Metric)}
    assert figures["matrix multiply"].value is None
    assert "illegal memory access" in figures["matrix multiply"].detail["error"]
    assert figures["memory copy"].value is not None
    assert isinstance(told[-1], ResultBody)


def test_wrong_arithmetic_fails_in_whatever_part(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product of matrices that is wrong is no missing figure: the card must not pass."""

    def wrong(*_: object) -> Any:
        raise Failure("wrong_arithmetic", "A product is wrong.")

    monkeypatch.setattr(kernels, "matmul", wrong)
    with pytest.raises(Failure, match="A product is wrong"):
        measured(stream)


def test_no_part_is_begun_when_the_deadline_is_near(stream: Any) -> None:
    """What there is no time for is told, so that the result comes before the supervisor ends us."""
    writer = stream[0]
    writer.start = time.monotonic() - 119.0
    told = measured(stream)
    assert "part_skipped" in {body.code for body in told if isinstance(body, Warned)}
    skipped = " ".join(body.message for body in told if isinstance(body, Warned))
    assert "inference" in skipped
    assert "memory copy" in skipped
    assert [body.name for body in told if isinstance(body, Metric)] == ["training"]
    assert isinstance(told[-1], ResultBody)


def test_the_readings_of_a_long_measurement_arrive_whole(stream: Any) -> None:
    """Texts are cut to what a reader needs, packed readings are not: the server unpacks what was read."""
    draw = random.Random(5)
    rows = [[float(n), draw.randrange(7_000) / 10] for n in range(3000)]
    text, columns, _ = series.fitting(["seconds", "power_watts"], rows)
    assert len(text) > 4096
    stream[0].emit("telemetry", gpu_index=0, gpu_uuid=None, interval_seconds=0.1, readings=3000,
                   columns=list(columns), rollup={}, packed=text)  # fmt: skip
    (body,) = stream[1]()
    assert unpack(base64.b64decode(body.packed))["power_watts"] == [row[1] for row in rows]


def test_the_clock_of_whoever_watches_starts_with_the_training(stream: Any) -> None:
    """The first progress of the measuring is told before its first step, the last after its last."""
    told = [body for body in measured(stream) if body.type == "progress"]
    first = next(body for body in told if body.phase == "measure")
    assert first.done == 0


def test_a_processor_is_not_filled_beyond_its_memory(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills who takes too much of a processor's memory, so a batch that would is not tried."""
    monkeypatch.setattr(kernels, "free_bytes", lambda device: 0)
    told = measured(stream, profile="standard")
    best = [body for body in told if isinstance(body, Metric) and body.name.startswith("best")]
    assert {body.detail["error"] for body in best} == {"out of memory"}
    assert isinstance(told[-1], ResultBody)


def test_a_soak_is_the_same_training_for_longer(stream: Any) -> None:
    """Hot against cold: its last part beside the first figure, under the same configuration."""
    told = measured(stream, profile="soak")
    figures = {body.name: body for body in told if isinstance(body, Metric)}
    soaked, share = figures["soak training"], figures["hot against cold"]
    assert soaked.configuration_hash == figures["training"].configuration_hash
    assert share.value == pytest.approx(100 * soaked.value / figures["training"].value)


def test_standard_compares_precisions_and_finds_the_best(stream: Any) -> None:
    """Each precision of the device is measured, and the sweep's winners have their own conditions."""
    told = measured(stream, profile="standard")
    figures = [body for body in told if isinstance(body, Metric)]
    trained = {
        body.configuration["precision"]: body.configuration_hash
        for body in figures
        if body.name == "training"
    }
    assert set(trained) == {"fp32", "amp-bf16"}
    assert len(set(trained.values())) == 2
    names = {body.name for body in figures}
    assert {"best training", "best inference", "disk write", "disk read"} <= names


def test_what_the_cards_do_meanwhile_is_told(stream: Any, tmp_path: Path) -> None:
    """A hot card that somebody else uses, and an error in its memory: by name, with its readings packed."""
    writer, told = stream
    with scripted(tmp_path) as driver:
        driver.play(card(reasons=0x40, temperature=93), card(1))
        machine = probe.probe()
        cards = [
            devices.Device(place, "H100", card(place)["uuid"], slot, 80.0)
            for place, slot in enumerate(driver.slots(2))
        ]
        watch = readings.Telemetry([one.bus_id for one in cards if one.bus_id], writer)
        report = Report(writer, watch.tick)
        seen = checks.Watch(cards, machine, report)
        watch.begin()
        until(lambda: watch.tick() or watch.summary()["readings"] >= 12)
        seen.look_at(timing.Timing([0.01] * 64, 0.64, 0.64), watch)
        driver.play(card(reasons=0x40, temperature=93), card(1, errors=[0, 3, 2, 3]))
        until(lambda: watch.tick() or watch.summary(1)["readings"] >= 20)
        seen.look_back(watch)
        watch.report()
        watch.close()
    codes = [body.code for body in told() if isinstance(body, Warned)]
    assert codes == ["throttled", "ecc_errors"]
    packed = [body for body in told() if isinstance(body, Telemetry)]
    assert [body.gpu_index for body in packed] == [0, 1]
    assert packed[0].rollup["temperature_celsius"].max == 93


def test_torchs_card_is_found_by_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's own library names the PCI slot of each of torch's devices; without it there is none."""

    class Cuda:
        def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
            device._obj.value = ordinal + 7
            return 0

        def cuDeviceGetPCIBusId(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
            name.value = b"0000:86:00.0"
            return 0 if device.value == 7 else 1

    properties = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30, uuid="1-2-3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Cuda())
    first, second = devices.gpus()
    assert first == devices.Device(0, "NVIDIA H100", "GPU-1-2-3", "0000:86:00.0", 80.0)
    assert second.bus_id is None
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert devices.gpus()[0].bus_id is None


@pytest.mark.parametrize(("nvml", "used"), [(45.0, 45.0), (None, 40.0)])
def test_a_gpu_result_takes_nvmls_word_and_else_torchs(
    stream: Any, monkeypatch: pytest.MonkeyPatch, nvml: float | None, used: float
) -> None:
    """Memory comes from NVML, else from torch; what else NVML does not tell is null."""
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    training = Training(agent_spec.Options(batch_size=4, image_size=32, device="cpu"), "cpu")
    training.step()
    timed = timing.Timing([0.01] * 64, 0.64, 0.64)
    figure = parts.figure_of("training", training, timed)
    training.release()
    training.device = "cuda"
    summary = {**readings.Telemetry([], stream[0]).summary(), "memory_used_gb": nvml}
    main = result.Main(training, timing.Warm(2, 1.0, 0.5, True), timed, summary, 40.0)
    cards = [devices.Device(n, "NVIDIA H100 80GB HBM3", None, None, 79.0) for n in range(2)]
    outcome = result.result(main, figure, PLANS["quick"], [], cards, probe.probe(), 9.0)
    stream[0].emit("result", **outcome)
    body = stream[1]()[-1]
    assert (body.memory_used_gb, body.memory_total_gb, body.power_draw_watts) == (used, 79.0, None)
    assert (body.device, body.gpu_name, body.gpu_count) == ("cuda", cards[0].name, 2)
    assert body.system_telemetry.gpu_count == 2
    assert body.raw_results["first_loss"] > 0
