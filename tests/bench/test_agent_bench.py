"""What the benchmark of the agent concludes from figures: estimates, the detector, goals met and missed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.agent_peers import detector, estimates, plan, roofline, verdicts
from bench.agent_peers.detector import Measured
from orchestrator.domain import roofline as judged

CONDITIONS = {
    "workload": "training",
    "precision": "amp-bf16",
    "batch_size": 256,
    "mode": "cuda-graph",
}


def runs(*rates: float, **more: Any) -> list[dict[str, Any]]:
    return [{"images_per_second": rate, "configuration": CONDITIONS, **more} for rate in rates]


def measured(value: float, half_width: float = 0.001) -> Measured:
    return Measured(value, value * (1 - half_width), value * (1 + half_width))


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (10, 10, 69.15, 100.0),  # (0.025) ** (1 / 10)
        (0, 20, 0.0, 16.84),
        (8, 10, 44.39, 97.48),
        (50, 100, 39.83, 60.17),
    ],
)
def test_a_share_has_the_exact_interval(hits: int, of: int, low: float, high: float) -> None:
    """Clopper and Pearson's, as their tables have it: ten of ten promise no more than 69 %."""
    found = estimates.proportion(hits, of)
    assert found == pytest.approx((100 * hits / of, low, high), abs=0.01)


def test_a_variation_has_the_interval_of_chi_square() -> None:
    """In 95 of 100 cases the interval of ten samples holds the deviation that they were drawn with."""
    draw = random.Random(7)
    held = 0
    for _ in range(400):
        low, high = estimates.variation([draw.gauss(100, 0.1) for _ in range(10)])[1:]
        assert low is not None
        assert high is not None
        held += low <= 0.1 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_a_median_keeps_off_an_outlier() -> None:
    """One round of seven in which the machine was busy moves neither the median nor the whole interval."""
    found = estimates.median([1.001, 0.999, 1.0, 1.002, 0.998, 1.0, 0.5])
    assert found.value == 1.0
    assert found.low is not None
    assert found.low >= 0.998


def test_one_round_has_no_interval() -> None:
    """What was measured once is told without an interval, and not with one of no width."""
    assert estimates.median([2.0]) == (2.0, None, None)


def test_the_detector_finds_one_percent_and_stays_quiet_without() -> None:
    """With the repeatability that we aim at: 99 % of slowdowns of 1 % are found, 1 % of equal pairs are not quiet."""
    draw = random.Random(11)

    def figure(rate: float) -> Measured:
        return measured(draw.gauss(rate, rate * detector.REPEATABILITY))

    found = sum(detector.slower(figure(4000), figure(4000 / 1.01)) for _ in range(2000))
    alarms = sum(detector.slower(figure(4000), figure(4000)) for _ in range(2000))
    assert found >= 0.99 * 2000
    assert alarms <= 0.01 * 2000


def test_wide_figures_raise_no_alarm() -> None:
    """A drop of 3 % means nothing between figures that are known to 5 %."""
    assert not detector.slower(measured(100, 0.05), measured(97, 0.05))
    assert detector.slower(measured(100), measured(97))


def test_ratios_are_formed_within_a_round() -> None:
    """A machine that halves its speed from round to round shows the same ratio in each."""
    series = {
        "same-training": runs(100, 50, 25),
        "timm-training": runs(100, 50, 25),
        "same-inference": runs(300, 150, 75),
        "timm-inference": runs(200, 100, 50),
    }
    training, inference = verdicts.same(series)
    assert training.estimate == (1.0, 1.0, 1.0)
    assert training.met
    assert inference.estimate.value == 1.5
    assert inference.met is False


def test_a_goal_met_by_the_estimate_alone_says_so() -> None:
    """An interval that reaches beyond the target is not hidden behind a yes."""
    series = {"best-training": runs(210, 150, 205), "superbench": runs(100, 100, 100)}
    (line,) = verdicts.superbench(series)
    assert line.met
    assert "beyond the target" in line.note


def test_a_figure_that_is_not_exact_is_not_in_time() -> None:
    """Fifteen seconds count only for figures that have reached 0.2 %."""
    exact = runs(1, 1, half_width=0.0019, from_import_seconds=9.0)
    wide = runs(1, half_width=0.01, from_import_seconds=9.0)
    assert verdicts.time({"agent": exact})[0].met
    assert verdicts.time({"agent": exact + wide})[0].met is False


def test_slowdowns_are_paired_across_processes() -> None:
    """A process is never compared with itself: three processes of two turns are four pairs."""

    def process(rate: float) -> dict[str, Any]:
        clean, slowed = measured(rate)._asdict(), measured(rate / 1.01)._asdict()
        return {"clean": [clean] * 2, "slowed": [slowed] * 2, "injected_share": 0.01}

    found, alarms = verdicts.slowdown({"slowdown": [process(100), process(100.05), process(100)]})
    assert found.note.startswith("% of 4 pairs; injected 1 %")
    assert found.estimate.value == 100
    assert alarms.estimate.value == 0


def test_rooflines_are_those_of_the_verdict() -> None:
    """The bytes an image stand in two places; they are the same, whatever the precision."""
    for precision in ("amp-bf16", "tf32", "fp32"):
        most = roofline.images_per_second("NVIDIA H100 80GB HBM3", "training", precision, 224)
        share = judged.roofline_percent("NVIDIA H100 80GB HBM3", most, precision, 224)
        assert share == pytest.approx(100)


def test_what_a_device_has_not_got_is_not_asked_of_it() -> None:
    """Without a GPU three goals can't be shown; with a known one all can."""
    cpu = {"device": "cpu", "nvml": False, "gpu": None}
    cuda = {"device": "cuda", "nvml": True, "gpu": "NVIDIA H100 80GB HBM3"}
    able = {name for name, goal in plan.GOALS.items() if goal.needs(cpu)}
    assert able == {"same", "best", "repeat", "slowdown", "time"}
    assert all(goal.needs(cuda) for goal in plan.GOALS.values())


def test_every_goal_has_its_measurements() -> None:
    """Each name that a goal asks for is measured, and on every device often enough to have a spread."""
    for device, usual in plan.DEFAULTS.items():
        settings = plan.Settings(device, "fp32", **usual)  # type: ignore[arg-type]
        winner = plan.Winner(64, "eager")
        every = plan.measurements(settings, {"training": winner, "inference": winner})
        asked = {name for goal in plan.GOALS.values() for name in goal.measurements}
        assert asked == set(every)
        assert all(one.rounds >= 2 for one in every.values())


def test_the_telemetry_ratio_is_that_of_turns() -> None:
    """On and off are compared turn by turn within a process, then over the rounds."""
    turns: dict[str, Any] = {"on": [99.0, 198.0, 990.0], "off": [100.0, 200.0, 1000.0]}
    turns["readings_per_second"] = 10
    (line,) = verdicts.telemetry({"telemetry": [turns, turns]})
    assert line.estimate.value == pytest.approx(0.99)
    assert line.met is False


def test_a_sampler_that_does_not_read_shows_nothing() -> None:
    """Telemetry that costs nothing because nothing is read has not met its goal."""
    turns = {"on": [100.0], "off": [100.0], "readings_per_second": 0.0}
    assert verdicts.telemetry({"telemetry": [turns]})[0].met is False
    assert verdicts.telemetry({"telemetry": [{**turns, "readings_per_second": 9.9}]})[0].met
