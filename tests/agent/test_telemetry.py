"""Readings of GPUs through NVML: a scripted driver stands in for the real one."""

from __future__ import annotations

import base64
import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from remote_agent.events import EventWriter
from remote_agent.machine import nvml, sampler, series, telemetry, tenants
from remote_agent.machine.reading import Moment, Reading, reason_words
from tests.agent.driver import Driver, card, scripted
from tests.agent.instance import NONCE, decoded, is_alive, naming, until

FAST = Reading(
    power_watts=612.5, energy_joules=None, temperature_celsius=62.0, sm_clock_mhz=1980.0,
    memory_clock_mhz=2619.0, clock_reasons=4, utilization_percent=99.0, memory_used_gb=45.5,
)  # fmt: skip
BUSY = {"used": 45, "reasons": 4}


class Events:
    """A writer on a file, and what it has written."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.writer = EventWriter(self.fd, NONCE)
        self._path = path

    def of(self, kind: str) -> list[Any]:
        return [event.body for event in decoded(self._path.read_bytes()) if event.body.type == kind]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """A machine with NVML."""
    with scripted(tmp_path) as made:
        yield made


@pytest.fixture
def events(tmp_path: Path) -> Iterator[Events]:
    """Where events go."""
    made = Events(tmp_path / "events")
    yield made
    os.close(made.fd)


@contextlib.contextmanager
def watching(bus_ids: Any, events: Events) -> Iterator[telemetry.Telemetry]:
    """Telemetry that is closed in the end."""
    watch = telemetry.Telemetry(bus_ids, events.writer)
    try:
        yield watch
    finally:
        watch.close()


def until_read(watch: telemetry.Telemetry, number: int, gpu: int = 0) -> None:
    """Ticks until `number` readings of a card are there."""

    def enough() -> bool:
        watch.tick()
        return len(watch.moments(gpu)) >= number

    until(enough)


@pytest.mark.parametrize(
    ("missing", "reading"),
    [
        ("", FAST),
        ("CurrentClocksEventReasons", FAST),
        ("FieldValues", FAST._replace(power_watts=600.0)),
        ("FieldValues PowerUsage", FAST._replace(power_watts=None)),
        ("UtilizationRates", FAST._replace(utilization_percent=None)),
        ("Temperature", FAST._replace(temperature_celsius=None)),
        ("ClockInfo", FAST._replace(sm_clock_mhz=None, memory_clock_mhz=None)),
        ("EventReasons ThrottleReasons", FAST._replace(clock_reasons=None)),
        ("MemoryInfo", FAST._replace(memory_used_gb=None)),
        ("FieldValues Usage Rates Temperature Info Reasons", Reading()),
    ],
)
def test_what_a_driver_does_not_support_is_null(
    driver: Driver, missing: str, reading: Reading
) -> None:
    """Instant power comes first, the average second; what is not there is None, never 0."""
    driver.play(card(**BUSY), missing=missing)
    with nvml.opened() as library:
        assert library is not None
        found = library.read(library.by_bus_id(card()["slot"]))
    assert found.energy_joules is not None
    assert found._replace(energy_joules=None) == reading


def test_a_sensor_that_knows_no_instant_tells_its_average(driver: Driver) -> None:
    """A field that NVML answers with an error is no reading of 0 W."""
    driver.play(card(watts_now=None))
    with nvml.opened() as library:
        assert library is not None
        assert library.read(library.by_bus_id(card()["slot"])).power_watts == 600.0


def test_what_is_slow_is_null_where_a_driver_does_not_support_it(driver: Driver) -> None:
    """The link and its replays are read apart; what is not there is None."""
    driver.play(card(), card(1, missing=["LinkGeneration", "LinkWidth", "ReplayCounter"]))
    with nvml.opened() as library:
        assert library is not None
        link = [library.read_all(handle)[8:] for handle in (library.cards() or {}).values()]
    assert link == [(5, 16, 3, None), (None, None, None, None)]


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("temperature", 2**32 - 1, "temperature_celsius"),
        ("sm_clock", 2**32 - 1, "sm_clock_mhz"),
        ("utilization", 101, "utilization_percent"),
        ("watts_now", 4_000_000, "power_watts"),
        ("width", 2**32 - 1, "pcie_width"),
        ("replays", 2**32 - 1, "pcie_replays"),
    ],
)
def test_a_broken_sensor_is_null(driver: Driver, name: str, value: int, field: str) -> None:
    """Values outside of what can be are not passed on."""
    driver.play(card(**{name: value}))
    with nvml.opened() as library:
        assert library is not None
        assert getattr(library.read_all(library.by_bus_id(card()["slot"])), field) is None


def test_an_old_copy_of_nvmls_module_lacks_calls(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that the Python module does not have is as good as one that fails."""
    driver.play(card())
    with nvml.opened() as library:
        import pynvml

        for name in ("EventReasons", "ThrottleReasons"):
            monkeypatch.delattr(pynvml, f"nvmlDeviceGetCurrentClocks{name}")
        assert library is not None
        assert library.read(library.by_bus_id(card()["slot"])).clock_reasons is None


def test_bits_have_the_contracts_words() -> None:
    """Each bit of NVML's mask is a word; one that is not known is left out."""
    assert reason_words(0) == []
    assert reason_words(0x3FF) == [
        "gpu_idle", "applications_clocks", "sw_power_cap", "hw_slowdown", "sync_boost",
        "sw_thermal", "hw_thermal", "power_brake", "display",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0000:3B:00.0", "00000000:3b:00.0", True),
        ("00000001:3B:00.0", "0001:3B:00.0", True),
        ("0000:3B:00.0", "00000001:3B:00.0", False),
        ("0000:3B:00.0", "0000:3C:00.0", False),
        (None, None, False),
    ],
)
def test_slots_are_compared_by_what_they_mean(one: Any, other: Any, same: bool) -> None:
    """NVML writes the domain with eight digits, CUDA with four."""
    assert nvml.same_slot(one, other) is same


def test_one_sampler_reads_several_cards(driver: Driver, events: Events) -> None:
    """One process reads all cards in the slots; each has its own samples, under NVML's number."""
    driver.play(card(), card(1, watts_now=100.0, watts=100), card(2, watts_now=200.0, **BUSY))
    bus_ids = [driver.slots(3)[2], driver.slots(3)[1]]
    with watching(bus_ids, events) as watch:
        assert len(naming(f"sample\0{os.getpid()}\0{bus_ids[0]}")) == 1
        watch.begin()
        until_read(watch, 13)
        watch.tick(last=True)
        summaries = watch.summary(), watch.summary(1)
        assert watch.memory_total_gb == 80.0
    samples = {index: [s for s in events.of("sample") if s.gpu_index == index] for index in (1, 2)}
    assert all(len(told) >= 2 for told in samples.values())
    assert {sample.power_watts for sample in samples[1]} == {100.0}
    assert samples[2][-1].model_dump(exclude={"type"}) == {
        "gpu_index": 2, "power_watts": 200.0, "temperature_celsius": 62.0,
        "utilization_percent": 99.0, "memory_used_gb": 45.5, "sm_clock_mhz": 1980.0,
        "memory_clock_mhz": 2619.0, "clock_reasons": ["sw_power_cap"], "pcie_generation": 5,
        "pcie_width": 16, "processes": 0,
    }  # fmt: skip
    assert [summary["power_watts"] for summary in summaries] == [200.0, 100.0]
    assert summaries[0]["readings"] >= 13
    # By the counter a card draws its average, however often it was read.
    for summary, watts in zip(summaries, (600, 100), strict=True):
        assert summary["energy_joules"] == pytest.approx(watts * summary["seconds"], rel=0.02)


def test_what_is_slow_is_read_once_a_second(driver: Driver, events: Events) -> None:
    """Of eleven readings in a row one, at most two, have the link and the processes."""
    driver.play(card())
    with watching(driver.slots(1), events) as watch:
        watch.begin()
        until_read(watch, 21)
        readings = [moment.reading for moment in watch.moments()[:21]]
    told = [n for n, reading in enumerate(readings) if reading.pcie_width is not None]
    assert len(told) in (2, 3)
    assert {later - earlier for earlier, later in pairwise(told)} == {10}
    assert all(readings[n].processes == 0 and readings[n].pcie_replays == 3 for n in told)
    assert all(reading.energy_joules for reading in readings)


def test_the_measurement_begins_when_it_is_told(driver: Driver, events: Events) -> None:
    """What was read before `begin` is in no summary, even where it still lies in the pipe."""
    driver.play(card(temperature=90))
    with watching(driver.slots(1), events) as watch:
        until_read(watch, 3)
        assert watch._sampler is not None
        until(lambda: select.select([watch._sampler._output], [], [], 0)[0])
        driver.play(card(temperature=50))
        watch.begin()
        assert watch.summary()["readings"] == 0
        until_read(watch, 3)
        assert watch.summary()["temperature_celsius"] == 50


def test_what_is_slow_is_told_until_it_is_read_again(events: Events) -> None:
    """A second without a reading of the link has that of the second before; of the others its own."""
    watch = telemetry._Watch(sampler.Card(3, None, None))
    first = FAST._replace(pcie_generation=5, pcie_width=16, processes=1, clock_reasons=1)
    for number in range(21):
        watch.add(Moment(number / 10, first if number == 4 else FAST))
    for told in watch.samples(last=True):
        events.writer.emit("sample", **told)
    samples = events.of("sample")
    assert len(samples) == 3
    assert [sample.clock_reasons for sample in samples] == [
        ["gpu_idle", "sw_power_cap"], ["sw_power_cap"], ["sw_power_cap"],
    ]  # fmt: skip
    assert {(one.gpu_index, one.pcie_generation, one.pcie_width, one.processes) for one in samples} == {
        (3, 5, 16, 1)
    }  # fmt: skip


def test_a_report_carries_every_reading(driver: Driver, events: Events) -> None:
    """One event a card: all readings packed, and what each column comes to."""
    driver.play(card(), card(1, missing=["TotalEnergyConsumption", "ReplayCounter"]))
    with watching(driver.slots(2), events) as watch:
        watch.begin()
        until_read(watch, 12, gpu=1)
        moments = watch.moments(0)
        watch.report()
    first, second = events.of("telemetry")
    assert (first.gpu_index, first.gpu_uuid) == (0, card()["uuid"])
    assert (first.interval_seconds, first.readings) == (0.1, len(moments))
    columns, rows = series.unpack(base64.b64decode(first.packed))
    assert columns == first.columns == list(telemetry.COLUMNS)
    assert [row[1] for row in rows] == [612.5] * len(moments)
    assert rows[0][0] < 0.3
    times = [moment.at - moments[0].at for moment in moments]
    assert [row[0] - rows[0][0] for row in rows] == pytest.approx(times, abs=0.011)
    assert set(first.rollup) == set(columns) - {"seconds", "clock_reasons"}
    assert first.rollup["power_watts"].p95 == 612.5
    assert set(columns) - set(second.columns) == {"energy_joules", "pcie_replays"}


@pytest.mark.parametrize("missing", ["nvmlInit", "HandleByPciBusId"])
def test_without_nvml_telemetry_is_silent(driver: Driver, events: Events, missing: str) -> None:
    """No library or no such card: no events, and a summary of nulls."""
    driver.play(card(), missing=missing)
    with watching(driver.slots(1), events) as watch:
        watch.begin()
        watch.tick(last=True)
        watch.report()
        assert watch.memory_total_gb is None
        assert watch.moments() == []
        assert set(watch.summary().values()) == {None, 0}
    assert not events.of("sample")
    assert not events.of("telemetry")


def test_without_cards_nothing_is_started(events: Events) -> None:
    """On a CPU there is no sampler, and a summary of nulls."""
    with watching([], events) as watch:
        assert not naming(f"sample\0{os.getpid()}")
        watch.begin()
        watch.tick(last=True)
        watch.report()
        assert watch.memory_total_gb is None
        assert set(watch.summary().values()) == set(watch.summary(3).values()) == {None, 0}


def test_an_empty_slot_leaves_the_others(driver: Driver, events: Events) -> None:
    """A slot without a card has no readings; cards keep their places."""
    driver.play(card(), card(1, watts_now=100.0))
    with watching(["0000:FF:00.0", driver.slots(2)[1]], events) as watch:
        until_read(watch, 2, gpu=1)
        watch.report()
        assert watch.memory_total_gb is None
        assert watch.summary(0)["readings"] == 0
        assert watch.summary(1)["power_watts"] == 100.0
    assert [told.gpu_index for told in events.of("telemetry")] == [1]
    one = sampler.Sampler(["0000:FF:00.0", driver.slots(2)[1]])
    assert one.ready() == [None, sampler.Card(1, card(1)["uuid"], 80.0)]
    one.close()


def test_closing_ends_the_sampler(driver: Driver, events: Events) -> None:
    """After `close` nobody reads, what was read stays, and closing again is no harm."""
    driver.play(card())
    with watching(driver.slots(1), events) as watch:
        (child,) = naming(f"sample\0{os.getpid()}\0{driver.slots(1)[0]}")
        until_read(watch, 2)
        watch.close()
        assert not is_alive(child)
        watch.tick(last=True)
        assert watch.summary()["readings"] >= 2


def test_a_sampler_that_nobody_reads_from_ends_at_once(
    driver: Driver, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full pipe holds the sampler up; it ends all the same, without being killed."""
    driver.play(*map(card, range(16)))
    monkeypatch.setattr(sampler, "_PIPE_BYTES", 4096)
    one = sampler.Sampler(driver.slots(16))
    assert len(one.ready()) == 16
    (child,) = naming(f"sample\0{os.getpid()}\0{driver.slots(1)[0]}")
    state = Path(f"/proc/{child}/wchan")
    until(lambda: "pipe" in state.read_text() or "anon_pipe" in state.read_text())
    one.close()
    assert one._child.returncode == 0


def test_xids_come_with_the_readings(driver: Driver, events: Events) -> None:
    """Errors that the driver notes are on the next line, once each; without such events there are none."""
    driver.play(card(), card(1, missing=["RegisterEvents"], xids=[79]))
    with watching(driver.slots(2), events) as watch:
        until_read(watch, 1)
        driver.play(card(xids=[31, 79]), card(1, missing=["RegisterEvents"], xids=[79]))
        until(lambda: watch.tick() or any(moment.xids for moment in watch.moments()))
        until_read(watch, len(watch.moments()) + 11)
        assert [moment.xids for moment in watch.moments() if moment.xids] == [(31, 79)]
        assert not any(moment.xids for moment in watch.moments(1))


def test_only_processes_of_others_count(driver: Driver, events: Events) -> None:
    """Neither we nor what we started is a tenant; a process that is neither, is."""
    ours = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    driver.play(card(pids=[os.getpid(), ours.pid]), card(1, pids=[os.getpid(), os.getppid()]))
    with ours, watching(driver.slots(2), events) as watch:
        until_read(watch, 11, gpu=1)
        told = [{m.reading.processes for m in watch.moments(gpu)} for gpu in (0, 1)]
        ours.communicate()
    assert told == [{None, 0}, {None, 1}]


def test_who_bears_our_cookie_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """An orphan of this run has another parent and still our cookie; another run's has another."""
    monkeypatch.setenv("HARBORX_RUN", "one")
    orphans = [
        subprocess.Popen(["sleep", "60"], env={"HARBORX_RUN": run}) for run in ("one", "other")
    ]
    pids = [orphan.pid for orphan in orphans]
    nobody = os.getppid()
    try:
        until(lambda: all(b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids))
        assert tenants.foreign(pids[:1], root=0) == 0
        assert tenants.foreign(pids, root=0) == 1
        assert tenants.foreign([*pids, nobody], root=0) == 2
    finally:
        for orphan in orphans:
            orphan.kill()
            orphan.wait()


def test_pids_of_another_namespace_tell_nothing() -> None:
    """Where none of the pids is ours and one is nobody's here, ours may be any; else they are others'."""
    unseen = 2**22 + 1  # above what a kernel gives out
    assert tenants.foreign(None, os.getpid()) is None
    assert tenants.foreign([], os.getpid()) == 0
    assert tenants.foreign([unseen], os.getpid()) is None
    assert tenants.foreign([unseen, os.getpid()], os.getpid()) == 1
    assert tenants.foreign([os.getppid()], os.getpid()) == 1


def test_readings_are_cut_into_seconds() -> None:
    """A second is told once it is over, the begun one only at the end."""
    moments = [Moment(number / 10, FAST) for number in range(25)]
    seconds, rest = telemetry.split_seconds(moments, last=False)
    assert [len(second) for second in seconds] == [10, 10]
    assert len(rest) == 5
    assert telemetry.split_seconds(rest, last=True) == ([rest], [])
    assert telemetry.split_seconds([], last=True) == ([], [])


def test_a_very_long_measurement_keeps_fewer_readings(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: every second reading goes, again and again, but no XID does."""
    monkeypatch.setattr(telemetry, "_MOST_MOMENTS", 100)
    watch = telemetry._Watch(sampler.Card(0, None, None))
    for number in range(1000):
        watch.add(Moment(number / 10, FAST, (79,) if number == 4 else ()))
    assert 50 <= len(watch.moments) <= 100
    assert [moment.xids for moment in watch.moments if moment.xids] == [(79,)]
    assert next(moment.at for moment in watch.moments if moment.xids) == pytest.approx(0.4, abs=1.6)
    told = watch.packed(0.0)
    assert (told["readings"], told["interval_seconds"]) == (1000, pytest.approx(1.6))
    _, rows = series.unpack(base64.b64decode(told["packed"]))
    gaps = {round(later[0] - one[0], 3) for one, later in pairwise(rows)}
    assert gaps == {1.6}


@pytest.mark.parametrize(
    ("counts", "energy"), [([], None), ([5.0], None), ([5.0, 65.0], 60.0), ([65.0, 5.0], None)]
)
def test_energy_is_what_the_counter_rose_by(
    events: Events, counts: list[float], energy: float | None
) -> None:
    """One look is no difference, and a counter that fell was reset: both are None, never 0."""
    watch = telemetry.Telemetry([], events.writer)
    watch._watches = [telemetry._Watch(sampler.Card(0, None, None))]
    for number, count in enumerate(counts):
        watch._watches[0].add(Moment(number / 10, Reading(energy_joules=count)))
    assert watch.summary()["energy_joules"] == energy
