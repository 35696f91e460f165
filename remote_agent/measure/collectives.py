"""What GPUs do with each other: the bandwidth of an all-reduce, and training in parallel by data."""

import json
import os
import shutil
import tempfile
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from remote_agent.measure import children, gpus
from remote_agent.measure.children import Answer, Child, Lost, Tell
from remote_agent.measure.figure import Figure
from remote_agent.measure.gpus import Target
from remote_agent.spec import Options

PAYLOAD = 2**28
"""Bytes that are reduced: 256 MiB."""

READY_SECONDS = 120.0
"""For starting, importing torch and finding each other."""

GRACE_SECONDS = 60.0
"""How much longer than ordered a measurement may take: NCCL sets its rings up in the first call."""

_NAMES = (
    ("all-reduce bus bandwidth", "GB/s"),
    ("data-parallel training", "images/s"),
    ("data-parallel efficiency", "ratio"),
)
_GIGA = 1e9
_BACKENDS = {"cuda": "nccl", "cpu": "gloo"}

# All ranks are on this machine, so nothing may listen or look further.
_LOOPBACK = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1"}


def measure(
    options: Options,
    devices: Sequence[Tuple[int, Optional[str], str]],
    seconds: float,
    tell: Tell,
    payload: int = PAYLOAD,
) -> List[Figure]:
    """
    Bus bandwidth of an all-reduce of `payload` bytes, and images/s of data-parallel training against one GPU.

    `seconds` for all of it, warm-ups and start on top. A process for each of at least two devices; what
    fails is a figure without a value.
    """
    targets = [Target(*device) for device in devices]
    if len(targets) < 2:
        return []
    answers: Dict[str, List[Answer]] = {}
    error = "not reached"
    try:
        folder = tempfile.mkdtemp(prefix="harborx-ranks-")
    except OSError as trouble:
        return figures(answers, str(trouble), len(targets), payload)
    ranks = _Ranks(tell)
    try:
        ranks.start(options, targets, folder, payload)
        answers["all-reduce"] = ranks.all_do("all-reduce", seconds / 4)
        answers["one"] = [ranks.first_does("one", seconds / 4)]
        answers["parallel"] = ranks.all_do("parallel", seconds / 2)
    except (Lost, OSError) as trouble:
        error = str(trouble)
    finally:
        ranks.end()
        shutil.rmtree(folder, ignore_errors=True)
    return figures(answers, error, len(targets), payload)


def bus_bandwidth(payload: int, ranks: int, seconds: float) -> float:
    """
    Bytes a second over each link: 2 (n - 1) / n x `payload` / `seconds`.

    As nccl-tests define it (doc/PERFORMANCE.md), so that it does not depend on the number of ranks.
    """
    return 2 * (ranks - 1) / ranks * payload / seconds


def figures(answers: Dict[str, List[Answer]], error: str, ranks: int, payload: int) -> List[Figure]:
    """The three figures of the phases in `answers`; those whose phase is missing say `error`."""
    found: List[Figure] = []
    if "all-reduce" in answers:
        found.append(_bandwidth(answers["all-reduce"], ranks, payload))
    if "parallel" in answers:
        found += _training(answers["one"][0], answers["parallel"], ranks)
    missing = {"error": error[:200], "ranks": ranks}
    done = {figure.name for figure in found}
    return found + [
        Figure(name, None, unit, detail=missing) for name, unit in _NAMES if name not in done
    ]


def rank(parent: int, number: int, orders: str) -> int:
    """The child of rank `number`: joins the others, then does what it is told to. Returns its status."""

    def prepare() -> Any:
        from remote_agent.measure import ranks

        return ranks.joined(number, json.loads(orders))

    return children.serve(parent, prepare)


class _Ranks:
    """A child for each rank. They fail together: where one is lost, the others wait for it in vain."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._children: List[Child] = []

    def start(self, options: Options, targets: Sequence[Target], folder: str, payload: int) -> None:
        """Raises `Lost`, `OSError`."""
        kind = targets[0].kind
        told = {
            "options": options._asdict(),
            "kind": kind,
            "backend": _BACKENDS[kind],
            "ranks": len(targets),
            "meet": "file://" + os.path.join(folder, "meet"),
            "payload": payload,
            "timeout": READY_SECONDS,
        }
        # Every rank sees all GPUs: NCCL reaches a card that it can't see only by detours.
        named = all(target.uuid for target in targets)  # UUIDs and numbers do not mix
        names = [gpus.visible_name(t if named else t._replace(uuid=None)) for t in targets]
        seen = {"CUDA_VISIBLE_DEVICES": ",".join(names)}
        if kind == "cpu":
            seen = gpus.environment(targets[0], len(targets))
        said = os.environ.get("NCCL_DEBUG", "WARN")  # on stderr, why it fails where it does
        for number in range(len(targets)):
            arguments = ["rank", str(os.getpid()), str(number), json.dumps(told)]
            self._children.append(Child(arguments, dict(seen, NCCL_DEBUG=said, **_LOOPBACK)))
        self._answers(READY_SECONDS, "starting the ranks")

    def all_do(self, what: str, seconds: float) -> List[Answer]:
        """Raises `Lost`."""
        for child in self._children:
            child.order({"do": what, "seconds": seconds})
        return self._answers(seconds + GRACE_SECONDS, f"{what} of {len(self._children)} ranks")

    def first_does(self, what: str, seconds: float) -> Answer:
        """The others wait for orders meanwhile, not in the queue of their GPU. Raises `Lost`."""
        self._children[0].order({"do": what, "seconds": seconds})
        limit = time.monotonic() + seconds + GRACE_SECONDS
        return self._children[0].answer(limit, self._tell, f"{what} rank alone")

    def end(self) -> None:
        children.end_all(self._children)

    def _answers(self, seconds: float, text: str) -> List[Answer]:
        limit = time.monotonic() + seconds
        return children.answers_of_all(self._children, limit, self._tell, text)


def _bandwidth(answers: List[Answer], ranks: int, payload: int) -> Figure:
    slowest = max(answers, key=lambda answer: float(answer["seconds"]))
    name, unit = _NAMES[0]
    return Figure(
        name,
        bus_bandwidth(payload, ranks, slowest["seconds"]) / _GIGA,
        unit,
        low=bus_bandwidth(payload, ranks, slowest["high"]) / _GIGA,
        high=bus_bandwidth(payload, ranks, slowest["low"]) / _GIGA,
        configuration=dict(slowest["configuration"], bytes=payload),
        detail={"calls": slowest["calls"], "milliseconds_a_call": slowest["seconds"] * 1000},
    )


def _training(one: Answer, parallel: List[Answer], ranks: int) -> List[Figure]:
    (_, _), (training, images), (efficiency, ratio) = _NAMES
    conditions = parallel[0]["configuration"]
    rate = sum(answer["rate"] for answer in parallel)
    highs = [answer["high"] for answer in parallel if answer["high"] is not None]
    detail = {"steps": parallel[0]["steps"], "one_gpu": one["rate"]}
    return [
        Figure(
            training,
            rate,
            images,
            low=sum(answer["low"] for answer in parallel),
            high=sum(highs) if len(highs) == ranks else None,
            configuration=conditions,
            detail=detail,
        ),
        Figure(
            efficiency, rate / ranks / one["rate"], ratio, configuration=conditions, detail=detail
        ),
    ]
