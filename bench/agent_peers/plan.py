"""Which goals there are, what has to be measured for each, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from bench.agent_peers import roofline, verdicts

Machine = dict[str, Any]


class Settings(NamedTuple):
    """
    What is asked of every peer, and how often. `repeats` are processes of the agent's own figure, `processes`
    those that measure slowdowns, each `figures` times with and without.
    """

    device: str
    precision: str
    batch_size: int
    image_size: int
    seconds: float
    rounds: int
    repeats: int
    processes: int
    figures: int


class Measurement(NamedTuple):
    """A peer with what it is asked; `rounds` times."""

    peer: str
    arguments: list[str]
    rounds: int


class Goal(NamedTuple):
    """`needs` tells of a machine whether the goal can be shown on it."""

    measurements: tuple[str, ...]
    judge: Callable[[verdicts.Series, Machine, Settings], list[verdicts.Line]]
    needs: Callable[[Machine], bool] = lambda machine: True


class Winner(NamedTuple):
    """The best batch and mode of a kind of work."""

    batch_size: int
    mode: str


def _plain(judge: Callable[[verdicts.Series], list[verdicts.Line]]) -> Any:
    return lambda series, machine, settings: judge(series)


_TIMM: Final = ("timm-training", "timm-inference")
_BEST: Final = ("best-training", "best-inference")

GOALS: Final = {
    "same": Goal((*_TIMM, "same-training", "same-inference"), _plain(verdicts.same)),
    "best": Goal((*_TIMM, *_BEST), _plain(verdicts.best)),
    "superbench": Goal(
        ("superbench", "best-training"),
        _plain(verdicts.superbench),
        lambda machine: machine["device"] == "cuda",
    ),
    "repeat": Goal(("agent",), _plain(verdicts.repeat)),
    "slowdown": Goal(("slowdown",), _plain(verdicts.slowdown)),
    "time": Goal(("agent",), _plain(verdicts.time)),
    "telemetry": Goal(
        ("telemetry",),
        _plain(verdicts.telemetry),
        lambda machine: machine["device"] == "cuda" and machine["nvml"],
    ),
    "roofline": Goal(
        ("agent",),
        lambda series, machine, settings: verdicts.shares(
            series, machine["gpu"], settings.image_size
        ),
        lambda machine: machine["device"] == "cuda" and roofline.knows(machine["gpu"]),
    ),
}

DEFAULTS: Final = {
    "cuda": {
        "batch_size": 256,
        "image_size": 224,
        "seconds": 15.0,
        "rounds": 5,
        "repeats": 10,
        "processes": 8,
        "figures": 5,
    },
    "cpu": {
        "batch_size": 16,
        "image_size": 64,
        "seconds": 5.0,
        "rounds": 2,
        "repeats": 3,
        "processes": 3,
        "figures": 2,
    },
}
_TURN_SECONDS: Final = 5.0  # of a figure among several within one process


def measurements(settings: Settings, winners: dict[str, Winner]) -> dict[str, Measurement]:
    """All of them by name, in the order of a round; those of `best` as far as there are `winners`."""
    found: dict[str, Measurement] = {}
    for kind in ("training", "inference"):
        asked = _asked(settings, kind)
        found[f"timm-{kind}"] = Measurement("timm_loop", asked, settings.rounds)
        found[f"same-{kind}"] = Measurement("same_step", asked, settings.rounds)
        if kind in winners:
            batch_size, mode = winners[kind]
            chosen = _asked(settings._replace(batch_size=batch_size), kind)
            arguments = [*chosen, "--mode", mode]
            found[f"best-{kind}"] = Measurement("ours", arguments, settings.rounds)
    training = _asked(settings, "training")
    turns = _asked(settings._replace(seconds=min(settings.seconds, _TURN_SECONDS)), "training")
    repeated = [*turns, "--figures", str(settings.figures)]
    found["superbench"] = Measurement("superbench_loop", training, settings.rounds)
    found["agent"] = Measurement("ours", training, settings.repeats)
    found["slowdown"] = Measurement("slowdown", repeated, settings.processes)
    found["telemetry"] = Measurement("telemetry", turns, settings.rounds)
    return found


def sweep_arguments(settings: Settings, kind: str) -> list[str]:
    """What the search for the best is asked; on a GPU it has time for a dozen trials."""
    return _asked(settings._replace(seconds=3 * settings.seconds), kind)


def _asked(settings: Settings, kind: str) -> list[str]:
    return [
        *("--kind", kind),
        *("--device", settings.device),
        *("--precision", settings.precision),
        *("--batch-size", str(settings.batch_size)),
        *("--image-size", str(settings.image_size)),
        *("--seconds", str(settings.seconds)),
    ]
