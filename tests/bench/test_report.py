"""What benchmarks found is kept and told as it is, misses included."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import report
from bench.goals import Goal, Measured, counted, of_samples, times_faster

FASTER = Goal("one host, cold", "scp && ssh of OpenSSH 9.2", target=4)


def test_a_goal_is_reached_from_its_own_side_only() -> None:
    """A ratio just under a target from above is a miss, and so is a value just over a bound."""
    assert FASTER.told(counted(4.0))["met"]
    assert not FASTER.told(counted(3.99))["met"]
    small = Goal("memory a run", "", target=64, at_least=False, unit="KiB")
    assert small.told(counted(64.0))["met"]
    assert not small.told(counted(64.1))["met"]


def test_a_ratio_is_the_peers_median_over_ours_within_its_interval() -> None:
    """Samples that were taken side by side are compared as pairs, the same way each time."""
    ours, peer = [1.0, 1.1, 0.9, 1.0, 5.0], [4.0, 4.4, 3.6, 4.0, 20.0]
    measured = times_faster(ours, peer)
    assert measured.ratio == pytest.approx(4.0)
    assert measured.low <= measured.ratio <= measured.high < 20
    assert measured == times_faster(ours, peer)
    assert of_samples(ours).ratio == 1.0


def test_new_figures_take_the_place_of_the_same_benchmarks_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another benchmark found stays, and the page tells every goal with its interval or that it was counted."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(report, "_PLOTTER", tmp_path / "absent")
    report.PAGE.write_text(f"before\n{report._BEGIN}\nstale figures\n{report._END}\nafter\n")
    report.keep("other", [FASTER.told(counted(9.0))], "one machine")
    report.keep("mine", [FASTER.told(counted(5.0))], "one machine")
    report.keep("mine", [FASTER.told(Measured(3.0, 2.5, 3.5))], "another machine")
    assert [(each["benchmark"], each["ratio"]) for each in report.kept()] == [
        ("other", 9.0),
        ("mine", 3.0),
    ]
    report.tell()
    page = report.PAGE.read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "stale figures" not in page
    assert "| ≥ 4x | 3x | 2.5 to 3.5 | **no** |" in page
    assert "| ≥ 4x | 9x | counted | yes |" in page
