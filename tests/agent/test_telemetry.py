"""Readings of a GPU through NVML: a scripted driver stands in for the real one."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.domain.events import ResultBody
from remote_agent.events import EventWriter
from remote_agent.machine import nvml, probe, telemetry
from remote_agent.measure import result, timing, training
from remote_agent.spec import Options
from tests.agent.instance import NONCE, decoded, until

GIB = 2**30
# Two cards; NVML's numbers differ from CUDA's, so the slot decides. FAKE_NVML lists what the
# driver does not support, "init" being the library itself.
DRIVER = """
import os
from types import SimpleNamespace as S
NVML_SUCCESS, NVML_TEMPERATURE_GPU, NVML_CLOCK_SM, NVML_FI_DEV_POWER_INSTANT = 0, 0, 1, 186
MISSING = os.environ.get("FAKE_NVML", "").split()
class NVMLError(Exception): pass
def supported(name, value):
    def call(*arguments):
        if name in MISSING:
            raise NVMLError("Not Supported")
        return value(*arguments)
    return call
SLOTS = ["00000000:3B:00.0", "00000000:86:00.0"]
nvmlInit = supported("init", lambda: None)
nvmlShutdown = supported("shutdown", lambda: None)
nvmlSystemGetDriverVersion = supported("driver", lambda: "560.35")
nvmlSystemGetCudaDriverVersion = supported("cuda", lambda: 12060)
nvmlDeviceGetCount = supported("count", lambda: 2)
nvmlDeviceGetHandleByIndex = supported("handle", lambda index: SLOTS[index])
nvmlDeviceGetHandleByPciBusId = supported("slot", lambda slot: SLOTS[SLOTS.index("0000" + slot)])
nvmlDeviceGetIndex = supported("index", SLOTS.index)
nvmlDeviceGetName = supported("name", lambda slot: "NVIDIA H100 80GB HBM3")
nvmlDeviceGetUUID = supported("uuid", lambda slot: "GPU-" + slot)
nvmlDeviceGetMemoryInfo = supported("memory", lambda slot: S(total=80 * 2**30, used=45 * 2**30))
nvmlDeviceGetUtilizationRates = supported("rates", lambda slot: S(gpu=98, memory=50))
nvmlDeviceGetTemperature = supported("heat", lambda slot, sensor: 65)
nvmlDeviceGetClockInfo = supported("clock", lambda slot, kind: 1980)
nvmlDeviceGetPowerUsage = supported("power", lambda slot: 350_000)
nvmlDeviceGetFieldValues = supported("fields", lambda slot, wanted: [
    S(nvmlReturn=3 if "instant" in MISSING else 0, value=S(uiVal=612_500))])
"""
FULL = nvml.Reading(612.5, 65.0, 98.0, 45.0, 1980.0)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs the scripted driver, without what is named."""
    (tmp_path / "pynvml.py").write_text(DRIVER)

    def install(missing: str = "") -> None:
        monkeypatch.setenv("FAKE_NVML", missing)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "pynvml", raising=False)

    yield install
    sys.modules.pop("pynvml", None)


@pytest.fixture
def events(tmp_path: Path) -> tuple[EventWriter, Callable[[], bytes]]:
    """A writer on a file, and what it has written so far."""
    path = tmp_path / "events"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield EventWriter(fd, NONCE), path.read_bytes
    os.close(fd)


@pytest.mark.parametrize(
    ("missing", "reading"),
    [
        ("", FULL),
        ("fields", FULL._replace(power_watts=350.0)),
        ("instant", FULL._replace(power_watts=350.0)),
        ("fields power", FULL._replace(power_watts=None)),
        ("rates", FULL._replace(utilization_percent=None)),
        ("heat clock", FULL._replace(temperature_celsius=None, sm_clock_mhz=None)),
        ("memory", FULL._replace(memory_used_gb=None)),
        ("fields power rates heat clock memory", nvml.Reading(None, None, None, None, None)),
    ],
)
def test_what_a_driver_does_not_support_is_null(
    driver: Any, missing: str, reading: nvml.Reading
) -> None:
    """Instant power comes first, the average second; what is not there is None, never 0."""
    driver(missing)
    with nvml.opened() as library:
        assert library is not None
        assert library.read(library.by_bus_id("0000:86:00.0")) == reading


def test_a_broken_sensor_is_null(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values outside of what can be are not passed on."""
    driver()
    import pynvml

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", lambda *_: 2**32 - 1)
    with nvml.opened() as library:
        assert library is not None
        assert library.read("00000000:3B:00.0").temperature_celsius is None


@pytest.mark.parametrize("missing", ["", "name uuid memory driver cuda", "count", "init"])
def test_a_probe_decodes_whatever_the_driver_tells(driver: Any, events: Any, missing: str) -> None:
    """The probe names the cards that NVML counts, and nulls where it can't tell."""
    driver(missing)
    writer, written = events
    writer.emit("probe", **probe.probe())
    body = decoded(written())[0].body
    assert body.cpu_count >= 1
    assert body.ram_gb > 0
    assert body.disk_space_gb > 0
    if "count" in missing or "init" in missing:
        assert (body.gpu_name, body.gpu_count, body.gpus) == (None, None, [])
    elif missing:
        assert (body.gpu_name, body.gpu_count, body.driver_version) == ("unknown", 2, None)
    else:
        assert (body.gpu_name, body.gpu_count) == ("NVIDIA H100 80GB HBM3", 2)
        assert (body.driver_version, body.cuda_version) == ("560.35", "12.6")
        assert [gpu.memory_total_gb for gpu in body.gpus] == [80.0, 80.0]


def test_the_sampler_reads_the_card_in_the_slot(driver: Any, events: Any) -> None:
    """Ten readings a second come from a process of its own, one `sample` a second from us."""
    driver()
    writer, written = events
    watch = telemetry.Telemetry("0000:86:00.0", writer)
    watch.begin()
    began = time.monotonic()

    def ticked() -> bool:
        watch.tick()
        return written().count(b"\n") >= 1

    until(ticked)
    watch.tick(last=True)
    took = time.monotonic() - began
    summary, total = watch.summary(), watch.memory_total_gb
    watch.close()
    watch.close()
    samples = decoded(written())
    assert 2 <= len(samples) <= 1 + took
    assert {sample.body.gpu_index for sample in samples} == {1}
    assert {sample.body.power_watts for sample in samples} == {612.5}
    assert 5 <= summary.pop("readings") <= 10 * took + 2
    assert summary == FULL._asdict()
    assert total == 80.0


@pytest.mark.parametrize("missing", ["init", "slot"])
def test_without_nvml_telemetry_is_silent(driver: Any, events: Any, missing: str) -> None:
    """No library or no such card: no samples, and a summary of nulls."""
    driver(missing)
    writer, written = events
    watch = telemetry.Telemetry("0000:86:00.0", writer)
    watch.begin()
    watch.tick(last=True)
    assert written() == b""
    assert watch.memory_total_gb is None
    assert set(watch.summary().values()) == {None, 0}


def test_readings_are_cut_into_seconds() -> None:
    """A second is told once it is over, the begun one only at the end."""
    moments = [telemetry.Moment(number / 10, FULL) for number in range(25)]
    seconds, rest = telemetry.split_seconds(moments, last=False)
    assert [len(second) for second in seconds] == [10, 10]
    assert len(rest) == 5
    assert telemetry.split_seconds(rest, last=True) == ([rest], [])
    assert telemetry.split_seconds([], last=True) == ([], [])


def test_torchs_card_is_found_by_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's own library names the PCI slot of torch's current device; without it there is none."""

    class Cuda:
        def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
            device._obj.value = ordinal + 7
            return 0

        def cuDeviceGetPCIBusId(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
            name.value = b"0000:86:00.0"
            return 0 if device.value == 8 else 1

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Cuda())
    assert training.bus_id() == "0000:86:00.0"
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    assert training.bus_id() is None
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert training.bus_id() is None


@pytest.mark.parametrize(
    ("missing", "used", "total", "watts"),
    [("", 45.0, 80.0, 612.5), ("init", 40.0, 79.0, None), ("memory fields power", 40.0, 79.0, None)],
)  # fmt: skip
def test_a_gpu_result_takes_nvmls_word_and_else_torchs(
    driver: Any, events: Any, monkeypatch: pytest.MonkeyPatch,
    missing: str, used: float, total: float, watts: float | None,
) -> None:  # fmt: skip
    """Memory comes from NVML, else from torch; power from NVML or not at all."""
    driver(missing)
    card = SimpleNamespace(name="NVIDIA H100 80GB HBM3", total_memory=79 * GIB)
    for name, value in {
        "current_device": 1, "get_device_properties": card, "device_count": 2,
        "max_memory_reserved": 40 * GIB, "get_device_name": card.name,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    writer, written = events
    watch = telemetry.Telemetry("0000:86:00.0", writer)
    until(lambda: watch.tick() or watch.summary()["readings"] or missing == "init")
    measured = SimpleNamespace(
        options=Options(), device="cuda", precision="amp-bf16", model_source="builtin",
        parameters=25_557_032, optimizer="fused", first_loss=7.0, last_loss=6.0,
    )  # fmt: skip
    steps = timing.Timing([0.01] * 32, 0.32, 0.32)
    outcome = result.result(measured, steps, steps, watch, probe.probe(), 9.0)
    watch.close()
    writer.emit("result", **outcome)
    body = decoded(written())[-1].body
    assert isinstance(body, ResultBody)
    assert (body.memory_used_gb, body.memory_total_gb, body.power_draw_watts) == (
        used,
        total,
        watts,
    )
    assert (body.device, body.gpu_name, body.gpu_count) == ("cuda", card.name, 2)
    assert (body.cuda_version, body.system_telemetry.cuda_version) == ("12.6", "12.6")
