"""What the measurements say about each goal. Pure: series in, lines out."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.agent_peers import detector, estimates, roofline
from bench.agent_peers.detector import Measured
from bench.agent_peers.estimates import Estimate

Series = Mapping[str, Sequence[Mapping[str, Any]]]
"""Every measurement's results by its name, one a round in the order of the rounds."""

_EXACT = 0.002
_READINGS = 9  # a second: a sampler that hardly reads costs nothing and shows nothing
_KINDS = ("training", "inference")


class Target(NamedTuple):
    """A goal is met from `low` to `high`."""

    text: str
    low: float = -math.inf
    high: float = math.inf


class Line(NamedTuple):
    """One line of the report. `met` is None where the goal has no target."""

    goal: str
    estimate: Estimate
    target: str
    met: bool | None
    note: str = ""


def same(series: Series) -> list[Line]:
    """Our timing of timm's step against timm's own."""
    target = Target("1.00 +- 0.01", 0.99, 1.01)
    return [
        _line(f"same {kind}", _ratio(series, f"same-{kind}", f"timm-{kind}"), target, "ours / timm")
        for kind in _KINDS
    ]


def best(series: Series) -> list[Line]:
    """The most that we get out of the device against timm, eager and channels last."""
    targets = {"training": Target(">= 1.15", 1.15), "inference": Target(">= 1.4", 1.4)}
    return [
        _line(
            f"best {kind}",
            _ratio(series, f"best-{kind}", f"timm-{kind}"),
            targets[kind],
            f"ours {_setting(series[f'best-{kind}'][0])} / timm eager",
        )
        for kind in _KINDS
    ]


def superbench(series: Series) -> list[Line]:
    """The most that we get out of the device against SuperBench's fp16 training."""
    note = f"ours {_setting(series['best-training'][0])} / SuperBench fp16"
    ratio = _ratio(series, "best-training", "superbench")
    return [_line("superbench", ratio, Target(">= 2", 2.0), note)]


def repeat(series: Series) -> list[Line]:
    """How much our figure differs from process to process."""
    rates = _rates(series["agent"])
    found = estimates.variation(rates)
    note = f"% between {len(rates)} processes, median {statistics.median(rates):.6g} images/s"
    return [_line("repeat", found, Target("<= 0.10 %", high=0.10), note)]


def time(series: Series) -> list[Line]:
    """Seconds until our figure is there; met only where every process reached +-0.2 %."""
    runs = series["agent"]
    exact = [run for run in runs if round(run["half_width"], 4) <= _EXACT]
    worst = max(run["half_width"] for run in runs)
    note = f"s; {len(exact)} of {len(runs)} reached +-0.2 %, the widest is +-{100 * worst:.2g} %"
    found = estimates.median([run["from_import_seconds"] for run in runs])
    return [_line("time", found, Target("<= 15 s", high=15.0), note, len(exact) == len(runs))]


def slowdown(series: Series) -> list[Line]:
    """Whether an injected slowdown is told from noise. Every pair is of two processes that followed each other."""
    runs = series["slowdown"]
    changed = _pairs(runs, "slowed")
    equal = _pairs(runs, "clean")
    found = sum(detector.slower(*pair) for pair in changed)
    alarms = sum(detector.slower(*pair) for pair in equal)
    share = statistics.median(run["injected_share"] for run in runs)
    note = f"% of {len(changed)} pairs; injected {100 * share:.3g} %, seen {_seen(changed)}"
    return [
        _line(
            "slowdown found",
            estimates.proportion(found, len(changed)),
            Target(">= 99 %", 99.0),
            note,
        ),
        _line(
            "slowdown false alarms",
            estimates.proportion(alarms, len(equal)),
            Target("<= 1 %", high=1.0),
            f"% of {len(equal)} pairs without a slowdown; seen {_seen(equal)}",
        ),
    ]


def telemetry(series: Series) -> list[Line]:
    """Throughput with the sampler, reading ten times a second, over that without; a process's median in each round."""
    runs = series["telemetry"]
    ratios = [
        statistics.median(on / off for on, off in zip(run["on"], run["off"], strict=True))
        for run in runs
    ]
    rate = statistics.median(run["readings_per_second"] for run in runs)
    note = f"on / off, {rate:.3g} readings a second"
    found = estimates.median(ratios)
    return [_line("telemetry", found, Target(">= 0.999", 0.999), note, rate >= _READINGS)]


def shares(series: Series, gpu: str | None, image_size: int) -> list[Line]:
    """The share of the fused memory roofline that our figures reach; of the best ones too where there are any."""
    lines = []
    for name in ("agent", "best-training", "best-inference"):
        runs = series.get(name)
        if not runs:
            continue
        conditions = runs[0]["configuration"]
        kind, precision = conditions["workload"], conditions["precision"]
        most = roofline.images_per_second(gpu, kind, precision, image_size)
        found = estimates.median([100 * rate / most for rate in _rates(runs)])
        note = f"% of {most:.0f} images/s, {_setting(runs[0])}, {precision}"
        lines.append(Line(f"roofline {name}", found, "none", None, note))
    return lines


def within(line: Line, target: Target) -> bool:
    """Whether the whole interval meets the target, not only the estimate."""
    _, low, high = line.estimate
    return low is not None and high is not None and target.low <= low and high <= target.high


def _line(goal: str, found: Estimate, target: Target, note: str, valid: bool = True) -> Line:
    """What is not `valid` has not met its goal, whatever its value."""
    met = valid and target.low <= found.value <= target.high
    line = Line(goal, found, target.text, met, note)
    if met and not within(line, target):
        note += "; the interval reaches beyond the target"
    return line._replace(note=note)


def _ratio(series: Series, ours: str, theirs: str) -> Estimate:
    pairs = zip(_rates(series[ours]), _rates(series[theirs]), strict=True)
    return estimates.median([mine / other for mine, other in pairs])


def _rates(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(run["images_per_second"]) for run in runs]


def _setting(run: Mapping[str, Any]) -> str:
    conditions = run["configuration"]
    return f"batch {conditions['batch_size']} {conditions['mode']}"


def _pairs(runs: Sequence[Mapping[str, Any]], later: str) -> list[tuple[Measured, Measured]]:
    """Clean figures of a process, each with the next process's figure of the same turn."""
    return [
        (Measured(**before), Measured(**after))
        for one, following in itertools.pairwise(runs)
        for before, after in zip(one["clean"], following[later], strict=True)
    ]


def _seen(pairs: Sequence[tuple[Measured, Measured]]) -> str:
    drops = [100 * detector.drop(*pair) for pair in pairs]
    deviation = statistics.stdev(drops) if len(drops) > 1 else 0.0
    return f"{statistics.fmean(drops):.3g} % +- {deviation:.2g} % (sd)"
