"""From a result and a claim to a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.options import Options
from orchestrator.domain.verdict import Claim, Figures, Observation, Verdict, judge

OPTIONS = Options()
GOOD = Figures(
    throughput=2048.0,
    latency_ms=15.625,
    options=OPTIONS,
    device="cuda",
    gpu_name="NVIDIA H100 80GB HBM3",
    gpu_count=1,
    images=1024,
    steps=32,
    measured_seconds=0.5,
    parameters=25_557_032,
)
CLAIM = Claim("NVIDIA H100", 1)
SEEN = Observation(ours=0.52, machines=0.51, waited=60.0)


def verdict(
    claim: Claim = CLAIM, observation: Observation | None = SEEN, **changes: Any
) -> Verdict:
    figures = replace(GOOD, **changes)
    return judge(figures, claim, requested=OPTIONS, observation=observation)


def failures(found: Verdict) -> list[str]:
    return [line.check for line in found.lines if line.passed is False]


def test_a_good_result_passes_every_check() -> None:
    """A result that agrees with claim, request, arithmetic, physics and our clock passes, line by line."""
    found = verdict()
    assert found.passed
    assert found.error is None
    assert [(line.check, line.passed) for line in found.lines] == [
        (check, True)
        for check in (
            *("GPU model", "GPU count", "as requested", "all images", "throughput", "latency"),
            *("model", "physics", "time to measure", "clock"),
        )
    ]
    assert all(each["text"] for each in found.evidence)


@pytest.mark.parametrize(
    ("changes", "check", "code"),
    [
        ({"error_message": "CUDA error"}, "no error", "agent_failed"),
        ({"device": "cpu"}, "device", "gpu_missing"),
        ({"gpu_name": "NVIDIA A100-SXM4-80GB"}, "GPU model", "gpu_mismatch"),
        ({"gpu_name": None}, "GPU model", "gpu_mismatch"),
        ({"gpu_count": 0}, "GPU count", "gpu_count_mismatch"),
        ({"options": Options(image_size=192)}, "as requested", "result_implausible"),
        ({"options": Options(channels_last=False)}, "as requested", "result_implausible"),
        ({"steps": 31}, "all images", "result_implausible"),
        ({"low": 2050.0, "high": 2060.0}, "interval", "result_implausible"),
        ({"throughput": 2200.0, "latency_ms": None}, "throughput", "result_implausible"),
        ({"latency_ms": 7.0}, "latency", "result_implausible"),
        ({"parameters": 11_689_512}, "model", "result_implausible"),
        (
            {"throughput": 102_400.0, "measured_seconds": 0.01, "latency_ms": 0.3125},
            "physics",
            "result_implausible",
        ),
        ({"observation": Observation(ours=60.0, machines=0.51)}, "clock", "clock_disagrees"),
        (
            {"observation": Observation(ours=60.0, machines=60.0, measuring=10.0)},
            "clock",
            "clock_disagrees",
        ),
        ({"observation": Observation(None, None, waited=0.9)}, "clock", "clock_disagrees"),
        (
            {
                "observation": Observation(0.0, 0.0, waited=0.01),
                "measured_seconds": 1.0,
                "throughput": 1024.0,
                "latency_ms": 31.25,
            },
            "time to measure",
            "clock_disagrees",
        ),
    ],
)
def test_each_check_fails_alone(changes: dict[str, Any], check: str, code: str) -> None:
    """One wrong figure fails its own check and no other, and gives the verdict its code."""
    found = verdict(**changes)
    assert not found.passed
    assert failures(found) == [check]
    assert found.error is not None
    assert found.error.code == code


def test_no_throughput_is_no_pass() -> None:
    """Zero or missing throughput never passes, whatever else is right."""
    for throughput in (0.0, None):
        assert failures(verdict(throughput=throughput)) == ["throughput"]


def test_more_gpus_than_claimed_are_welcome() -> None:
    """Only fewer than claimed is a mismatch."""
    assert verdict(gpu_count=8).passed


def test_the_first_failure_names_the_verdict() -> None:
    """With several failed lines the code is the first one's."""
    found = verdict(gpu_name="Tesla T4", parameters=1)
    assert failures(found)[0] == "GPU model"
    assert found.error is not None
    assert found.error.code == "gpu_mismatch"


def test_an_instance_onboarded_as_cpu_is_judged_as_one() -> None:
    """A claimed CPU passes on the CPU without any GPU."""
    slow = {"throughput": 20.48, "latency_ms": 1562.5, "measured_seconds": 50.0}
    cpu = {"device": "cpu", "gpu_name": None, "gpu_count": 0}
    assert verdict(claim=Claim("CPU", None), **slow, **cpu).passed


def test_nothing_claimed_takes_the_measured_card() -> None:
    """Without a claim any GPU fits, and having none is still missing."""
    assert verdict(claim=Claim(None, None)).passed
    found = verdict(claim=Claim(None, None), device="cpu", gpu_name=None, gpu_count=0)
    assert found.error is not None
    assert found.error.code == "gpu_missing"


def test_a_submission_with_few_fields_is_judged_by_what_it_says() -> None:
    """What a result does not tell is neither passed nor failed."""
    found = judge(Figures(245.5, 130.2, OPTIONS), CLAIM)
    assert found.passed
    assert {line.check: line.passed for line in found.lines} == {
        "GPU model": None,
        "latency": True,
    }


def test_an_interrupted_observation_is_not_told() -> None:
    """Where the line broke, our clock proves nothing either way; small delays are the network's."""
    assert verdict(observation=Observation(None, None, interrupted=True)).passed
    assert verdict(observation=Observation(0.4, None, interrupted=True)).passed


def test_a_broken_line_hides_no_machine_that_measures_longer_than_it_says() -> None:
    """What we watched in the stretches between breaks is compared with what was measured in all."""
    seen = verdict(observation=Observation(ours=5.0, machines=None, interrupted=True))
    assert (seen.error and seen.error.code, seen.state) == ("clock_disagrees", "inconclusive")


def test_an_observation_is_not_exact() -> None:
    """Half a second of measuring may be seen as three."""
    assert verdict(observation=Observation(ours=3.4, machines=0.5)).passed


def test_small_images_raise_the_ceiling() -> None:
    """The bound of physics follows the area of the image."""
    fast = {"throughput": 60_000.0, "latency_ms": 32 / 60, "measured_seconds": 1024 / 60_000}
    small = judge(replace(GOOD, **fast, options=Options(image_size=112)), CLAIM)
    assert small.passed
    assert failures(judge(replace(GOOD, **fast), CLAIM)) == ["physics"]


@pytest.mark.parametrize(
    "asked", [Options(precision="fp32"), Options(mode="eager"), Options(profile="full")]
)
def test_what_was_asked_for_by_name_must_have_been_done(asked: Options) -> None:
    """`auto` leaves the choice to the machine; a precision, mode or profile that was named does not."""
    done = {"precision": "amp-bf16", "mode": "cuda-graph"}
    figures = replace(GOOD, options=OPTIONS.model_copy(update=done))
    assert judge(figures, CLAIM, requested=OPTIONS).passed
    assert failures(judge(figures, CLAIM, requested=asked)) == ["as requested"]


def test_more_steps_than_asked_make_a_figure_exact() -> None:
    """The epochs are the least; what is measured beyond them is welcome, in whole batches."""
    longer = {"steps": 64, "images": 2048, "measured_seconds": 1.0}
    assert verdict(**longer).passed
    assert "all images" in failures(verdict(**{**longer, "images": 2047}))


@pytest.mark.parametrize(("budget", "seconds"), [(2.0, 2.1), (None, 15.0), (60.0, 15.2)])
def test_a_spent_budget_may_end_the_epochs(budget: float | None, seconds: float) -> None:
    """A slow machine measures fewer images than asked, but only for all the time that it was given."""
    asked = Options(num_epochs=1000, budget_seconds=budget)
    done = replace(GOOD, options=asked.model_copy(update={"precision": "amp-bf16"}))
    slow = replace(done, steps=64, images=2048, throughput=2048 / seconds, measured_seconds=seconds,
                   latency_ms=seconds / 64 * 1000)  # fmt: skip
    assert judge(slow, CLAIM, requested=asked).passed
    hasty = replace(slow, measured_seconds=seconds / 4, throughput=4 * 2048 / seconds,
                    latency_ms=seconds / 64 * 250)  # fmt: skip
    assert failures(judge(hasty, CLAIM, requested=asked)) == ["all images"]


def test_a_training_that_was_told_at_its_end_only_is_not_vouched_for() -> None:
    """A machine that keeps its progress to itself, or a line that held it back: our clock says nothing then."""
    late = Observation(ours=0.1, machines=0.1, waited=60.0, measuring=0.1)
    claims = {"measured_seconds": 10.0, "throughput": 102.4, "latency_ms": 312.5}
    found = verdict(observation=late, **claims)
    assert {line.check: line.passed for line in found.lines}["clock"] is None
    seen = replace(late, ours=11.0, machines=11.0, measuring=9.0)
    assert {line.check: line.passed for line in verdict(observation=seen, **claims).lines}["clock"]


def test_the_last_digits_of_an_interval_accuse_nobody() -> None:
    """Steps that are all alike have an interval as narrow as floating point."""
    rate = GOOD.throughput or 0.0
    assert verdict(low=rate * (1 + 1e-12), high=rate * (1 + 1e-12)).passed


def test_findings_are_shown_and_fail_nobody() -> None:
    """What is odd about the machine explains its figure; the line is neither passed nor failed."""
    found = judge(GOOD, CLAIM, findings=[("throttled", "Too hot.\x1b[2J")])
    assert found.passed
    assert (found.lines[-1].check, found.lines[-1].passed) == ("throttled", None)
    assert "\x1b" not in found.lines[-1].text
