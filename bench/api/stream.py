"""
Event streams: 500 watchers of runs on one API process, and how long an event takes from its commit to each of them.

Events are written into PostgreSQL as a worker does, one commit each, spread evenly over the runs and over time; a fifth of
the watchers watch the same run. The clock is read before the statement is sent, so that the commit counts against us.
Every watcher looks whether the numbers of its events have a gap.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from statistics import median, quantiles
from typing import Any, Final
from uuid import UUID

from psycopg import Connection

from bench.api.ground import Ground, ground, process
from bench.goals import Goal, counted

WATCHERS: Final = 500
RUNS: Final = 20
EVENTS: Final = 24  # a second and run
SECONDS: Final = 30
WARM_UP: Final = 3
PROCESSES: Final = 2

_RATE: Final = Goal("event stream, 500 watchers: messages delivered", "", 10_000, True, "/s")
_DELAY: Final = Goal(
    "event stream, 500 watchers: p99 from commit to arrival", "", 50.0, False, "ms"
)
_TELL: Final = """
    WITH run AS (UPDATE gpu_test_runs SET last_seq = last_seq + 1 WHERE id = %s RETURNING id, last_seq, user_id)
    INSERT INTO gpu_test_events (run_id, seq, user_id, t, type, body)
    SELECT id, last_seq, user_id, 1.5, 'progress', json_build_object(
        'phase', 'measure', 'done', last_seq, 'images_per_sec', 2450.25, 'sent', %s::float8)
    FROM run
"""


def measure(
    watchers: int = WATCHERS,
    runs: int = RUNS,
    events: int = EVENTS,
    seconds: float = SECONDS,
    warm_up: float = WARM_UP,
) -> dict[str, Any]:
    """Messages a second, milliseconds from commit to arrival, and what the API's process took for it."""
    with ground() as here:
        known = [here.run(each) for each in here.instances(runs)]
        with _watching(here, _places(known, watchers)) as groups, here.connect() as owner:
            told = _tell(owner, known, events, warm_up)
            for group in groups:
                _line(group)
            before, began = here.cpu_seconds(), time.monotonic()
            told = _tell(owner, known, events, seconds)
            took, used = time.monotonic() - began, here.cpu_seconds() - before
            time.sleep(0.5)
            for group in groups:
                _line(group)
            heard = [json.loads(_answer(group)) for group in groups]
    times = [each for group in heard for each in group["ms"]]
    cuts = quantiles(times, n=1000)
    return {
        "goals": [_RATE.told(counted(len(times) / took)), _DELAY.told(counted(cuts[989]))],
        "watchers": watchers,
        "events_written_per_s": round(told / took, 1),
        "messages_per_s": round(len(times) / took, 1),
        "p50_ms": round(median(times), 2),
        "p99_ms": round(cuts[989], 2),
        "p999_ms": round(cuts[998], 2),
        "gaps": sum(group["gaps"] for group in heard),
        "api_cpu_percent": round(100 * used / took, 1),
        "api_cpu_us_per_message": round(1e6 * used / len(times), 1),
    }


def _places(runs: list[UUID], watchers: int) -> list[UUID]:
    """Whom each watches."""
    same = watchers // 5 if len(runs) > 1 else watchers
    others = cycle(runs[1:] or runs)
    return [runs[0]] * same + [next(others) for _ in range(watchers - same)]


@contextmanager
def _watching(here: Ground, places: list[UUID]) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        groups = []
        for number in range(PROCESSES):
            runs = [str(each) for each in places[number::PROCESSES]]
            command = [
                sys.executable,
                "-m",
                "bench.api.watchers",
                str(here.port),
                here.token,
                *runs,
            ]
            group, said = stack.enter_context(process(command, stdin=True))
            assert said == "ready\n", said
            groups.append(group)
        yield groups


def _tell(owner: Connection[Any], runs: list[UUID], events: int, seconds: float) -> int:
    """The number of events written, each at its time."""
    count = int(events * seconds) * len(runs)
    apart = 1 / (events * len(runs))
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number * apart - time.monotonic()))
        owner.execute(_TELL, (runs[number % len(runs)], time.time()), prepare=True)
    return count


def _line(group: subprocess.Popen[str]) -> None:
    assert group.stdin is not None
    group.stdin.write("\n")
    group.stdin.flush()


def _answer(group: subprocess.Popen[str]) -> str:
    assert group.stdout is not None
    return group.stdout.readline()
