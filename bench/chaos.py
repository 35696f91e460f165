"""
Breaks everything on purpose while runs are live, and counts what was lost: `make chaos ARGS="--kills 30 --seed 7"`.

The first line is the seed with the command that plays the same choices again, the last one the figures; the
exit status is 0 only if each that must be 0 is. Without any count: the full form of the reliability targets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.faults import loss
from bench.faults.checker import Findings, check
from bench.faults.chosen import KINDS, Chosen, strike
from bench.faults.mutations import MUTATIONS
from bench.faults.points import ACTIONS, FAILPOINTS
from bench.faults.record import Evidence, Fault
from bench.faults.world import Plan, World, world_of

_TELL_SECONDS: Final = 5.0
_MOST_TOLD: Final = 10  # of each figure; the report has all
_LONGEST_TOLD: Final = 800
_TIMES: Final = ("reattached", "recovered")
_CHOICES: Final = (  # what makes a world besides counts, runs and seed
    *("instances", "workers", "pace", "pause", "heartbeat", "stalled", "settle"),
    *("loss", "mutate", "full", "late", "point", "action"),
)


@dataclass(frozen=True)
class Played:
    """What happened in one world, and what the checker says of it."""

    evidence: Evidence
    findings: Findings
    seconds: float
    attempted: dict[str, int]  # by kind of fault
    effective: dict[str, int]  # those that hit a live run

    @property
    def proves(self) -> bool:
        """Whether all that must be 0 is 0, and something was there to break it."""
        asked, hit = sum(self.attempted.values()), sum(self.effective.values())
        return self.findings.clean and (hit > 0 or not asked)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    options = parsed(arguments)
    if options.list_failpoints:
        print("\n".join(FAILPOINTS))
        return 0
    print(f"chaos: seed={options.seed}; again: {_again(options)}", flush=True)
    if options.loss and (reason := loss.enter_namespace()):
        print(f"chaos: packet loss is not attempted: {reason}", flush=True)
        options.loss = 0
    played = asyncio.run(play(options))
    if options.report:
        told = json.dumps(_report(played, options.seed), indent=1, default=str)
        options.report.write_text(told + "\n", "utf-8")
    explain(played)
    print(line_beside(played))
    print(last_line(played.findings, played.attempted, played.effective), flush=True)
    return 0 if played.proves else 1


async def play(options: argparse.Namespace) -> Played:
    """A world made, struck, and looked at."""
    began = time.monotonic()
    evidence = await _struck(Chosen.of(options), options)
    attempted, effective = _counts(evidence.faults)
    seconds = time.monotonic() - began
    return Played(evidence, check(evidence), seconds, attempted, effective)


def last_line(findings: Findings, attempted: dict[str, int], effective: dict[str, int]) -> str:
    """The line that the issue asks for."""
    figures = {"kills": attempted.get("kills", 0), "effective": effective.get("kills", 0)}
    told = " ".join(f"{name}={count}" for name, count in (figures | findings.counts).items())
    return f"chaos: {told} reattach_p99_s={_seconds(findings.reattach_p99)}"


def line_beside(played: Played) -> str:
    """The line before the last: figures that need not be 0, and two that must."""
    evidence, findings = played.evidence, played.findings
    figures: dict[str, Any] = {"runs": len(evidence.runs), "accepted": len(evidence.accepted)}
    for kind in (kind for kind in KINDS if kind in played.attempted):
        figures[kind] = f"{played.attempted[kind]}/{played.effective[kind]}"
    lost = [fault.detail for fault in evidence.faults if fault.kind == loss.KIND]
    if lost:
        figures["loss"] = f"{lost[0]['percent']}%/{lost[0]['dropped']}packets"
    figures["overlaps"] = len(findings.overlaps)
    figures["impostor_authentications"] = len(findings.authentications)
    figures["unjudged"] = len(findings.unjudged)
    figures["reattached"] = len(findings.reattached)
    figures["recovered_p99_s"] = _seconds(findings.recovered_p99)
    figures["seconds"] = round(played.seconds)
    return "chaos: " + " ".join(f"{name}={value}" for name, value in figures.items())


def _seconds(value: float | None) -> str:
    return "-" if value is None else format(value, ".1f")


async def _struck(chosen: Chosen, options: argparse.Namespace) -> Evidence:
    playing = asyncio.current_task()
    assert playing is not None
    # As at Ctrl-C: whatever ends us, the world is taken down.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    plan = Plan(
        instances=options.instances,
        workers=options.workers,
        pace=options.pace,
        heartbeat_seconds=options.heartbeat,
        stalled_seconds=options.stalled,
        late=options.late,
        mutation=options.mutate,
        keep=options.keep,
    )
    async with world_of(plan) as world:
        promises = await asyncio.to_thread(world.postgres.promises)
        print(f"chaos: PostgreSQL {promises}", flush=True)
        telling = asyncio.create_task(_tell(world, chosen))
        try:
            if options.loss:
                loss.lose(world, options.loss)
            await strike(world, chosen, random.Random(options.seed))
        finally:
            telling.cancel()
        await _settle(world, options.settle)
        if options.loss:
            loss.take_stock(world)
        if options.keep:
            print(f"chaos: kept {world.folder}", file=sys.stderr)
        return await world.evidence()


async def _settle(world: World, seconds: float) -> None:
    """Give the product its time to tidy up, and no more."""
    until = time.monotonic() + seconds
    while not world.at_rest() and time.monotonic() < until:  # noqa: ASYNC110  other processes do it
        await asyncio.sleep(0.5)


async def _tell(world: World, chosen: Chosen) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        hit = sum(fault.effective for fault in world.faults)
        finished = await world.ledger.finished()
        print(
            f"{time.monotonic() - began:5.0f} s: {finished} of {chosen.runs} runs ended, "
            f"{len(world.ledger.live)} live, {len(world.faults)} faults ({hit} effective)",
            file=sys.stderr,
        )


def _counts(faults: Sequence[Fault]) -> tuple[dict[str, int], dict[str, int]]:
    """How many of each kind were tried, and how many of those hit a live run."""
    attempted: dict[str, int] = {}
    effective: dict[str, int] = {}
    for fault in faults:
        attempted[fault.kind] = attempted.get(fault.kind, 0) + 1
        effective[fault.kind] = effective.get(fault.kind, 0) + fault.effective
    return attempted, effective


def explain(played: Played) -> None:
    """What the figures counted, a sentence each."""
    if played.attempted and not sum(played.effective.values()):
        print("No fault hit a live run: nothing was shown.", file=sys.stderr)
    for name, sentences in vars(played.findings).items():
        for sentence in sentences[:_MOST_TOLD] if name not in _TIMES else ():
            print(f"{name}: {sentence[:_LONGEST_TOLD]}", file=sys.stderr)


def _report(played: Played, seed: int) -> dict[str, Any]:
    """All that a reader of a failure wants, but for the transcripts."""
    found = vars(played.findings)
    named = " ".join(str(each) for sentences in found.values() for each in sentences)
    return {
        "seed": seed,
        "seconds": round(played.seconds, 1),
        "machine": f"{platform.machine()} {platform.release()}, Python {platform.python_version()}",
        "findings": dict(found),
        "faults": [asdict(fault) for fault in played.evidence.faults],
        "runs": [
            {**asdict(run), "events": [asdict(e) for e in run.events if e.t is None][-40:]}
            for run in played.evidence.runs
            if run.id in named
        ],
    }


def _again(options: argparse.Namespace) -> str:
    chosen = Chosen.of(options)
    words = [f"--{kind} {count}" for kind, count in chosen.counts.items() if count]
    words.append(f"--runs {chosen.runs}")
    defaults = vars(parsed([]))
    for name in _CHOICES:
        value = getattr(options, name)
        if value != defaults[name]:
            words.append(f"--{name}" if value is True else f"--{name} {value}")
    return f'make chaos ARGS="{" ".join(words)} --seed {options.seed}"'


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    for kind, told in KINDS.items():
        parser.add_argument(f"--{kind}", type=int, metavar="N", help=told)
    parser.add_argument("--runs", type=int, help="at least so many runs are requested")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument(
        "--pace", type=float, default=10.0, help="seconds of a benchmark, on average"
    )
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between faults of a kind")
    parser.add_argument("--heartbeat", type=float, help="of workers; else the product's own")
    parser.add_argument("--stalled", type=float, help="a worker silent for so long is dead")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds to tidy up at the end")
    parser.add_argument("--point", choices=FAILPOINTS, help="aim all failpoints at this one")
    parser.add_argument("--action", choices=ACTIONS, default="crash", help="of aimed failpoints")
    parser.add_argument(
        "--loss", type=int, default=0, metavar="PERCENT", help="of packets on the lines; needs root"
    )
    parser.add_argument(
        "--late", action="store_true", help="stopped workers go on once their runs have ended"
    )
    parser.add_argument("--mutate", choices=sorted(MUTATIONS), help="take a guard out")
    parser.add_argument("--full", action="store_true", help="outages as long as the targets say")
    parser.add_argument("--report", type=Path, help="JSON, a line each fault")
    parser.add_argument("--keep", action="store_true", help="leave the world's folder, with logs")
    parser.add_argument("--list-failpoints", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
