"""
The corpus of faults: each is found by its name and by no other, and nothing is found where nothing is.

What comes from NVML comes through the real probe, sampler and health, from a scripted driver.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from remote_agent.events import EventWriter
from remote_agent.machine import cards, findings, nvml, probe, telemetry
from remote_agent.machine.findings import Finding
from remote_agent.machine.health import Health
from remote_agent.machine.reading import Moment, Reading
from tests.agent.driver import Driver, card, scripted
from tests.agent.instance import NONCE, until

A100 = {
    "name": "NVIDIA A100-SXM4-80GB", "capability": [8, 0], "sm_clock": 1410, "memory_clock": 1593,
    "limit": 400, "limit_default": 400, "watts": 370, "watts_now": 371, "generation": 4,
    "generation_max": 4,
}  # fmt: skip
CONSUMER = {
    "name": "NVIDIA GeForce RTX 4090", "capability": [8, 9], "memory": 24, "sm_clock": 2670,
    "limit": 450, "limit_default": 450, "watts": 400, "watts_now": 402, "generation": 4,
    "generation_max": 4, "persistence": 0,
    "missing": ["EccErrors", "EccMode", "RemappedRows", "PendingStatus", "ViolationStatus",
                "MigMode", "RegisterEvents"],
}  # fmt: skip


class Scenario(NamedTuple):
    """A card, what is different in the middle of the measurement, and what has to be found."""

    name: str
    card: dict[str, Any]
    later: dict[str, Any]
    codes: set[str]


def turns(*values: Any) -> dict[str, Any]:
    """A value that changes call by call."""
    return {"turns": list(values)}


OTHER = os.getppid()  # it runs, and is no child of ours
SCENARIOS = [
    Scenario("clean H100", {}, {}, set()),
    Scenario("clean A100", A100, {}, set()),
    Scenario("clean consumer card", CONSUMER, {}, set()),
    Scenario("desktop on it", {**CONSUMER, "used": 1.6, "drawing": [OTHER]}, {}, set()),
    Scenario("at its power limit",
             {**A100, "watts_now": 399, "reasons": turns(4, 4, 4, 0), "sm_clock": turns(1290, 1320, 1350)},
             {}, set()),
    Scenario("at its power limit, with pauses",
             {**A100, "watts_now": 399, "reasons": turns(4, 4, 1), "sm_clock": turns(1320, 1320, 345),
              "utilization": turns(99, 99, 0)}, {}, set()),
    Scenario("a boost as the load begins",
             {**A100, "watts_now": 399, "reasons": 4, "sm_clock": turns(1410, *[1200] * 40)}, {}, set()),
    Scenario("our own process on it", {"pids": [os.getpid()]}, {}, set()),
    Scenario("idle, link at rest",
             {"utilization": 0, "generation": 1, "watts_now": 80, "reasons": 1, "sm_clock": 345}, {}, set()),
    Scenario("a few packets repeated", {}, {"replays": 9}, set()),
    Scenario("old errors only", {"errors": [7, 0, 90, 3], "rows": [1, 1, 0, 0]}, {}, set()),
    Scenario("one hot reading", {"reasons": turns(0x40, *[0] * 200)}, {}, set()),

    Scenario("hot", {"temperature": 91, "reasons": turns(0x68, *[0] * 9)}, {}, {"throttled"}),
    Scenario("power brake", {"reasons": turns(0x88, 0, 0, 4), "sm_clock": turns(900, 1980)}, {}, {"throttled"}),
    Scenario("hot at its power limit",
             {"reasons": 0x24, "sm_clock": turns(1980, *[1100] * 7)}, {}, {"throttled"}),
    Scenario("hot between the readings", {}, {"violations": {"1": 0.5}}, {"throttled"}),
    Scenario("low power limit", {"limit": 500}, {}, {"power_capped"}),
    Scenario("held far below",
             {"reasons": 4, "sm_clock": turns(1980, *[1100] * 7)}, {}, {"power_capped"}),
    Scenario("somebody's process", {"pids": [OTHER, os.getpid()]}, {}, {"co_tenant"}),
    Scenario("somebody comes later", {"pids": [os.getpid()]}, {"pids": [OTHER, os.getpid()]}, {"co_tenant"}),
    Scenario("somebody unseen", {"used": 20}, {}, {"co_tenant"}),
    Scenario("MIG slice", {"mig": 1, "missing": ["UtilizationRates"]}, {}, {"mig_slice"}),
    Scenario("narrow link", {"width": 4}, {}, {"pcie_link"}),
    Scenario("slow link", {"generation": 3}, {}, {"pcie_link"}),
    Scenario("bad riser", {}, {"replays": 400}, {"pcie_link"}),
    Scenario("uncorrected errors", {}, {"errors": [0, 2, 2, 2]}, {"ecc_errors"}),
    Scenario("corrected errors", {}, {"errors": [5, 0, 7, 0]}, {"ecc_errors"}),
    Scenario("row waits", {"rows": [0, 1, 1, 0]}, {}, {"ecc_errors"}),
    Scenario("row is lost", {"rows": [0, 1, 0, 1]}, {}, {"ecc_errors"}),
    Scenario("pages wait", {"retired_pending": 1}, {}, {"ecc_errors"}),
    Scenario("fell off the bus", {}, {"xids": [79]}, {"xid"}),
    Scenario("a program that was ended", {}, {"xids": [43, 45]}, set()),
]  # fmt: skip


class Watched(NamedTuple):
    """What was read of one card of the corpus's machine."""

    probe: dict[str, Any]
    moments: list[Moment]
    before: Health | None
    after: Health | None

    def found(self) -> list[Finding]:
        gpu = self.probe["gpus"][0]
        return [
            *findings.of_probe(self.probe),
            *findings.of_telemetry(self.moments, gpu),
            *findings.of_health(self.before, self.after, gpu["index"]),
        ]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Watched]]:
    """A machine with a card for each scenario, measured once; what was read of each."""
    folder = tmp_path_factory.mktemp("machine")
    with scripted(folder) as driver:
        driver.play(*(card(n, **one.card) for n, one in enumerate(SCENARIOS)))
        bus_ids = driver.slots(len(SCENARIOS))
        told = probe.probe(str(folder))
        before = cards.health(bus_ids)
        fd = os.open(folder / "events", os.O_WRONLY | os.O_CREAT)
        watch = telemetry.Telemetry(bus_ids, EventWriter(fd, NONCE))
        watch.begin()
        until(lambda: watch.tick() or len(watch.moments()) >= 12)
        driver.play(*(card(n, **{**one.card, **one.later}) for n, one in enumerate(SCENARIOS)))
        until(lambda: watch.tick() or len(watch.moments(len(SCENARIOS) - 1)) >= 40)
        after = cards.health(bus_ids)
        watch.close()
        os.close(fd)
        yield {
            one.name: Watched({**told, "gpus": [told["gpus"][n]]}, watch.moments(n), before[n], after[n])
            for n, one in enumerate(SCENARIOS)
        }  # fmt: skip


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """A machine with NVML."""
    with scripted(tmp_path) as made:
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_each_fault_of_a_card_is_found_by_its_name(
    machine: dict[str, Watched], scenario: Scenario
) -> None:
    """A fault is found by its code and no other, in a sentence that names the card; else nothing is."""
    found = machine[scenario.name].found()
    assert {finding.code for finding in found} == scenario.codes, found
    place = SCENARIOS.index(scenario)
    for finding in found:
        assert f"card {place}" in finding.message.lower()
        assert 40 < len(finding.message) < 250


def test_a_power_limit_is_noted_and_no_fault(machine: dict[str, Watched]) -> None:
    """A card at its limit is told with figures, one below it is not."""
    at_limit, clean = machine["at its power limit"], machine["clean A100"]
    (note,) = findings.notes(at_limit.moments, at_limit.probe["gpus"][0])
    assert "400 W" in note
    assert "399 W" in note
    assert findings.notes(clean.moments, clean.probe["gpus"][0]) == []


@pytest.mark.parametrize(
    ("files", "missing", "bus", "codes"),
    [
        ([], "nvmlInit", None, set()),
        (["dev/nvidiactl"], "nvmlInit", 2, {"nvml_missing"}),
        (["proc/driver/nvidia/version"], "GetCount", None, {"nvml_missing"}),
        (["dev/nvidiactl"], "", 2, set()),
        (["dev/nvidiactl"], "", 0, set()),
        (["dev/nvidiactl"], "", 3, {"device_order"}),
        (["dev/nvidiactl"], "", 1, {"device_order"}),
        (["dev/nvidiactl", ".dockerenv"], "", 8, set()),
        (["dev/nvidiactl", ".dockerenv"], "", 1, {"device_order"}),
    ],
    ids=["no GPU", "no NVML", "NVML fails", "all agree", "bus unseen", "card lost", "card made up",
         "container of a big host", "card made up in a container"],
)  # fmt: skip
def test_each_fault_of_a_machine_is_found_by_its_name(
    driver: Driver, tmp_path: Path, files: list[str], missing: str, bus: int | None, codes: set[str]
) -> None:
    """A driver without NVML, and witnesses that count other cards; a container may see its host's."""
    driver.play(card(), card(1), missing=missing)
    root = tmp_path / "root"
    root.mkdir()
    for path in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    if bus is not None:
        (root / "sys/bus/pci/devices").mkdir(parents=True)
    for number in range(bus or 0):
        device = root / f"sys/bus/pci/devices/0000:0{number}:00.0"
        device.mkdir()
        (device / "vendor").write_text("0x10de\n")
        (device / "class").write_text("0x030200\n")
    found = findings.of_probe(probe.probe(str(root)))
    assert {finding.code for finding in found} == codes, found


def device(number: int, place: int, *, uuid: bool = True, slot: bool = True) -> Any:
    """torch's device `number`, which is the machine's card `place`."""
    one = card(place)
    return SimpleNamespace(
        number=number, uuid=one["uuid"] if uuid else None, bus_id=one["slot"][4:] if slot else None
    )


@pytest.mark.parametrize(
    ("devices", "visible", "wrong"),
    [
        ([device(0, 0), device(1, 1)], None, False),
        ([device(0, 1), device(1, 0)], None, True),
        ([device(0, 1, uuid=False), device(1, 0, uuid=False)], None, True),
        ([device(0, 0, uuid=False), device(1, 1, uuid=False)], None, False),
        ([device(n, n, uuid=False, slot=False) for n in (0, 1)], None, False),
        ([device(0, 0)], None, True),
        ([device(0, 1)], "1", False),
        ([device(0, 1), device(1, 0)], "1,0", False),
        ([device(0, 7)], "0", True),
        ([], "", False),
    ],
    ids=["same", "swapped", "swapped slots", "same slots", "nameless", "one missing", "one hidden",
         "order was asked for", "not NVML's", "all hidden"],
)  # fmt: skip
def test_torchs_cards_are_nvmls(
    driver: Driver, devices: list[Any], visible: str | None, wrong: bool
) -> None:
    """Without CUDA_VISIBLE_DEVICES both list the same cards in the same order; with it a part of them."""
    driver.play(card(), card(1))
    found = findings.of_devices(probe.probe()["gpus"], devices, visible)
    assert [finding.code for finding in found] == ["device_order"] * wrong


def test_slices_have_names_of_their_own(driver: Driver) -> None:
    """With MIG torch's devices are not NVML's cards, and that is another finding."""
    driver.play(card(mig=1))
    assert findings.of_devices(probe.probe()["gpus"], [device(0, 7), device(1, 7)]) == []


def steps(count: int, variation: float, change: float = 0.0, seed: int = 3) -> list[float]:
    """Steps of 50 ms that vary and, from the first to the last, grow longer by `change`."""
    noise = random.Random(seed)
    return [
        0.05 * (1 + change * n / max(1, count - 1)) * (1 + noise.gauss(0, variation))
        for n in range(count)
    ]


STEADY = steps(640, 0.002)
LATE = [*STEADY[:50], -0.01, *STEADY[51:]]


@pytest.mark.parametrize(
    ("step_seconds", "gpu", "wall", "codes"),
    [
        (STEADY, 32.0, 32.1, set()),
        (STEADY, 32.0, 32.0, set()),
        ([0.05], 0.05, 0.055, set()),
        ([], 0.0, 0.0, set()),
        (LATE, 32.0, 32.0, {"clock_backwards"}),
        (STEADY, 32.0, -3.0, {"clock_backwards"}),
        ([*STEADY[1:], math.nan], 32.0, 32.0, {"clock_backwards"}),
        (STEADY, 32.0, 32.2, {"clock_backwards"}),
        (STEADY, 32.2, 32.0, {"clock_backwards"}),
        (steps(640, 0.002, 0.009), 32.0, 32.0, set()),
        (steps(640, 0.002, 0.012), 32.0, 32.0, {"slow_drift"}),
        (steps(640, 0.002, 0.3), 32.0, 32.0, {"slow_drift"}),
        (steps(640, 0.002, -0.05), 32.0, 32.0, set()),
        (steps(640, 0.019), 32.0, 32.0, set()),
        (steps(640, 0.03), 32.0, 32.0, {"unsteady"}),
        (steps(12, 0.0, 0.02), 0.6, 0.6, set()),
    ],
    ids=["steady", "exact", "one step", "no step", "negative step", "negative wall", "no number",
         "wall too long", "GPU too long", "small drift", "drift", "great drift", "gets faster",
         "varies", "varies much", "too short for a drift"],
)  # fmt: skip
def test_each_fault_of_a_measurement_is_found_by_its_name(
    step_seconds: list[float], gpu: float, wall: float, codes: set[str]
) -> None:
    """Clocks that lie, a speed that falls, and one that wavers."""
    found = findings.of_steps(step_seconds, gpu, wall)
    assert {finding.code for finding in found} == codes, found


def test_a_fall_that_is_chance_is_none() -> None:
    """A fall by over 1 % that noise explains (t of at most 4) is no drift."""
    fallen = 0
    for seed in range(20):
        noisy = steps(64, 0.016, 0.006, seed)
        fallen += findings.steadiness.trend([1 / step for step in noisy]).change < -0.01
        assert "slow_drift" not in {one.code for one in findings.of_steps(noisy, 3.2, 3.2)}
    assert fallen >= 2


@pytest.mark.parametrize(
    ("violation", "codes"), [(0.09, []), (0.11, ["throttled"]), (10.9, ["throttled"]), (5000, [])]
)
def test_a_violation_counts_from_one_percent_on(violation: float, codes: list[str]) -> None:
    """Over 1 % of the time; a counter that rose by more than the time has other units."""
    before = Health(at=5.0, thermal_violation_seconds=100.0)
    after = Health(at=15.0, thermal_violation_seconds=100.0 + violation)
    assert [finding.code for finding in findings.of_health(before, after)] == codes


@pytest.mark.parametrize(("hot", "codes"), [(4, []), (5, ["throttled"])])
def test_throttling_counts_from_five_percent_on(hot: int, codes: list[str]) -> None:
    """Of the readings that tell reasons at all."""
    masks = [0x20] * hot + [0] * (100 - hot) + [None] * 50
    moments = [Moment(n / 10, Reading(clock_reasons=mask)) for n, mask in enumerate(masks)]
    assert [finding.code for finding in findings.of_telemetry(moments, {})] == codes


@pytest.mark.parametrize(("wrong", "found"), [(1, False), (2, True)])
def test_one_reading_alone_is_a_coincidence(wrong: int, found: bool) -> None:
    """Of a short measurement too: two readings have to agree on a fault."""
    gpu = {"pcie_width_max": 16}
    for code, fault in {
        "throttled": Reading(clock_reasons=8),
        "co_tenant": Reading(clock_reasons=0, processes=1),
        "pcie_link": Reading(clock_reasons=0, utilization_percent=99.0, pcie_width=4),
    }.items():
        readings = [fault] * wrong + [Reading(clock_reasons=0)] * 8
        moments = [Moment(n / 10, reading) for n, reading in enumerate(readings)]
        assert [one.code for one in findings.of_telemetry(moments, gpu)] == [code] * found


def test_without_readings_nothing_is_found() -> None:
    """A machine that tells nothing is not accused of anything."""
    nothing = [Moment(n / 10, Reading()) for n in range(50)]
    assert findings.of_telemetry([], {}) == findings.of_telemetry(nothing, {}) == []
    assert findings.of_health(None, None) == findings.of_devices([], []) == []


def random_card(noise: random.Random) -> dict[str, Any]:
    """A sound card of some kind under load; its figures vary as sound ones do."""
    kind = noise.choice([{}, A100, CONSUMER])
    made = card(**kind)
    at_limit = noise.random() < 0.4
    clock, limit = made["sm_clock"] * noise.uniform(0.8, 1.0), made["limit"]
    generation = made["generation_max"]
    changes = {
        "temperature": turns(*(round(noise.uniform(40, 84)) for _ in range(60))),
        "sm_clock": turns(made["sm_clock"], *(round(clock * noise.uniform(0.95, 1.02)) for _ in range(59))),
        "reasons": turns(*(4 if at_limit and noise.random() < 0.9 else 0 for _ in range(60))),
        "watts_now": turns(*(limit * noise.uniform(0.9, 1.01) for _ in range(60))),
        "utilization": turns(*(noise.choice([0, 30, 90, 97, 98, 99, 100]) for _ in range(60))),
        "limit": limit * noise.uniform(0.96, 1.05), "used": noise.uniform(0, 0.9),
        "errors": [noise.randrange(9), 0, noise.randrange(99), noise.randrange(3)],
        "replays": turns(*sorted(noise.randrange(5, 12) for _ in range(60))),
        "generation": turns(generation, generation, generation, noise.choice([1, generation])),
        "violations": {"0": noise.uniform(0, 99), "1": noise.uniform(0, 99)},
    }  # fmt: skip
    return {**made, **changes}


def test_two_hundred_sound_machines_have_no_finding(driver: Driver, tmp_path: Path) -> None:
    """Cards, counters and steps that vary as those of sound machines do: nothing is found on any."""
    found = {}
    for seed in range(200):
        noise = random.Random(seed)
        driver.play(random_card(noise))
        with nvml.opened() as library:
            assert library is not None
            handle = (library.cards() or {})[0]
            gpu = cards.described(library, 0, handle, os.getpid())
            before = Health.of(library, handle)
            moments = [Moment(n / 10, library.read_all(handle)) for n in range(60)]
            after = Health.of(library, handle)._replace(at=before.at + 6)
        if before.thermal_violation_seconds is not None:
            hot = before.thermal_violation_seconds + noise.uniform(0, 0.05)
            after = after._replace(thermal_violation_seconds=hot)
        times = steps(
            noise.randrange(1, 800), noise.uniform(0.0002, 0.012), noise.uniform(-0.01, 0.002), seed
        )
        wall = math.fsum(times) * noise.uniform(0.997, 1.003)
        seen = {"has_driver": True, "container": None, "gpus": [gpu],
                "witnesses": {"nvml": 1, "proc": 1, "pci": 1, "torch": None}}  # fmt: skip
        found[seed] = [
            *findings.of_probe(seen),
            *findings.of_telemetry(moments, gpu),
            *findings.of_health(before, after),
            *findings.of_steps(times, math.fsum(times), wall),
        ]
    assert {seed: told for seed, told in found.items() if told} == {}
