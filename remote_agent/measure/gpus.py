"""Every GPU of the machine: each alone, then all at once, a process for each."""

import contextlib
import json
import os
import statistics
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from remote_agent.machine import probe
from remote_agent.measure import children, timing
from remote_agent.measure.children import Answer, Child, Lost, Order, Tell
from remote_agent.measure.figure import Figure
from remote_agent.spec import Options

READY_SECONDS = 180.0
"""For starting, building and warming up; compiling takes the longest."""

GRACE_SECONDS = 30.0
"""How much longer than ordered a measurement may take before it counts as hung."""

_LEAD_SECONDS = 0.5  # from the order to the moment at which all begin
_WARMUP_SECONDS = 10.0
_OVERLAP = 0.8


class Target(NamedTuple):
    """A device: the number it is reported under, its UUID where that is known, and cuda or cpu."""

    number: int
    uuid: Optional[str]
    kind: str


def measure_all(
    options: Options,
    devices: Sequence[Tuple[int, Optional[str], str]],
    seconds: float,
    alone: bool,
    tell: Tell,
) -> List[Figure]:
    """
    Training on all `devices` at once and, if `alone`, on each before that; `seconds` for each stretch.

    A process for each: neither Python's lock nor a CUDA context is shared. One that fails, ends or hangs
    becomes a figure without a value, and the others go on.
    """
    targets = [Target(*device) for device in devices]
    crew = _Crew(options, targets, seconds, tell)
    try:
        crew.wait_until_ready()
        single: Dict[int, Answer] = {}
        for target in targets if alone else ():
            single.update(crew.measure([target]))
        together = crew.measure(targets)
    finally:
        crew.end()
    return figures(targets, single, together)


def environment(target: Target, of: int) -> Dict[str, str]:
    """What makes `target`, one of `of` devices, the only one that a process sees."""
    if target.kind == "cpu":
        return {"OMP_NUM_THREADS": str(max(1, probe.cpu_count() // of))}
    return {"CUDA_VISIBLE_DEVICES": visible_name(target)}


def visible_name(target: Target) -> str:
    """How CUDA is told of a GPU: by its UUID, or else by the number that it has for us."""
    if target.uuid:
        return target.uuid
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    # Our number counts what we may see ourselves.
    ours = dict(enumerate(name.strip() for name in names if name.strip()))
    return ours.get(target.number, str(target.number))


def figures(
    targets: Sequence[Target], single: Dict[int, Answer], together: Dict[int, Answer]
) -> List[Figure]:
    """Each GPU's figures, and the machine's; answers by index, with `error` where there is none."""
    found: List[Figure] = []
    if single:
        found += [_of_one("training alone", each, single[each.number]) for each in targets]
    stretch = _overlap([answer for answer in together.values() if "rate" in answer])
    found += [
        _of_one("training together", each, together[each.number], stretch) for each in targets
    ]
    return found + _of_machine(targets, single, together, stretch)


def one_gpu(parent: int, kind: str, options: str, seconds: float) -> int:
    """The child: warms up, then measures whenever it is told to. Returns its exit status."""
    return children.serve(
        parent, lambda: contextlib.nullcontext(_Worker(kind, options, seconds).measure)
    )


class _Worker:
    """The training of one device. torch is imported late: not before we are tied to our parent."""

    def __init__(self, kind: str, options: str, seconds: float) -> None:
        from remote_agent.measure.workload import Training

        self._training = Training(Options(**json.loads(options)), kind)
        self._warm = self._training.warm_up(timing.unheard, min(_WARMUP_SECONDS, seconds))

    def measure(self, order: Order) -> Answer:
        """Trains for `seconds` from the moment `at` of the monotonic clock on."""
        training, at = self._training, order["at"]
        # An idle card lowers its clocks, so it works until the moment has come.
        while time.monotonic() + self._warm.step_seconds < at:
            training.step()
            training.clock.synchronize()
        time.sleep(max(0.0, at - time.monotonic()))
        started = time.monotonic()
        rate, low, high, steps = self._timed(order["seconds"])
        return {
            "rate": rate,
            "low": low,
            "high": high,
            "steps": steps,
            "started": started,
            "ended": time.monotonic(),
            "at": at,
            "configuration": training.configuration,
        }

    def _timed(self, seconds: float) -> Tuple[float, float, Optional[float], int]:
        """Images a second with their interval, and how many steps that were."""
        limits = timing.Limits(1, seconds, target=0.0)
        timed = self._training.measure(self._warm, limits, timing.unheard)
        batch, spread = self._training.options.batch_size, timed.spread
        high = batch / spread.low if spread.low > 0 else None
        return batch / spread.mean, batch / spread.high, high, len(timed.steps)


class _Crew:
    """A child for each target, and why those are lost that are."""

    def __init__(
        self, options: Options, targets: Sequence[Target], seconds: float, tell: Tell
    ) -> None:
        self._seconds = seconds
        self._tell = tell
        self._lost: Dict[int, Answer] = {}
        self._children: Dict[int, Child] = {}
        told = json.dumps(options._asdict())
        for target in targets:
            arguments = ["one-gpu", str(os.getpid()), target.kind, told, str(seconds)]
            try:
                child = Child(arguments, environment(target, len(targets)))
            except OSError as error:
                self._lost[target.number] = {"error": str(error)[:200]}
            else:
                self._children[target.number] = child

    def wait_until_ready(self) -> None:
        limit = time.monotonic() + READY_SECONDS
        for index in list(self._children):
            self._answer(index, limit, f"warming up GPU {index}")

    def measure(self, targets: Sequence[Target]) -> Dict[int, Answer]:
        """Has `targets` train at one time; their answers, or the error of those that are lost."""
        at = time.monotonic() + _LEAD_SECONDS
        there = [target.number for target in targets if target.number in self._children]
        for index in there:
            self._children[index].order({"seconds": self._seconds, "at": at})
        limit = at + self._seconds + GRACE_SECONDS
        text = (
            f"training on GPU {there[0]}" if len(there) == 1 else f"training on {len(there)} GPUs"
        )
        answers = {index: self._answer(index, limit, text) for index in there}
        return {
            target.number: answers.get(target.number) or self._lost[target.number]
            for target in targets
        }

    def end(self) -> None:
        children.end_all(self._children.values())

    def _answer(self, index: int, limit: float, text: str) -> Answer:
        try:
            return self._children[index].answer(limit, self._tell, text)
        except Lost as lost:
            del self._children[index]
            self._lost[index] = {"error": str(lost)}
            return self._lost[index]


def _of_one(name: str, target: Target, answer: Answer, stretch: Optional[float] = None) -> Figure:
    if "rate" not in answer:
        return Figure(name, None, "images/s", gpu_index=target.number, detail=answer)
    detail: Dict[str, Any] = {
        "steps": answer["steps"],
        "started": answer["started"] - answer["at"],
        "ended": answer["ended"] - answer["at"],
    }
    if stretch is not None:
        detail.update(_told_overlap(stretch))
    return Figure(
        name,
        answer["rate"],
        "images/s",
        low=answer["low"],
        high=answer["high"],
        gpu_index=target.number,
        configuration=answer["configuration"],
        detail=detail,
    )


def _of_machine(
    targets: Sequence[Target],
    single: Dict[int, Answer],
    together: Dict[int, Answer],
    stretch: Optional[float],
) -> List[Figure]:
    rates = {index: answer["rate"] for index, answer in together.items() if "rate" in answer}
    failed = len(targets) - len(rates)
    if not rates or stretch is None:
        detail = {"error": "no GPU could be measured", "failed": failed}
        return [Figure("all GPUs", None, "images/s", detail=detail)]
    measured = [together[index] for index in rates]
    # GPUs share a power supply and a processor, so their errors may add up.
    highs = [answer["high"] for answer in measured if answer["high"] is not None]
    conditions = dict(measured[0]["configuration"], gpus=len(rates))
    found = [
        Figure(
            "all GPUs",
            sum(rates.values()),
            "images/s",
            low=sum(answer["low"] for answer in measured),
            high=sum(highs) if len(highs) == len(measured) else None,
            configuration=conditions,
            detail=dict(_told_overlap(stretch), gpus=len(rates), failed=failed),
        )
    ]
    if len(rates) > 1:
        found.append(_straggler(rates, conditions))
    both = [index for index in rates if "rate" in single.get(index, {})]
    if both:
        before = sum(single[index]["rate"] for index in both)
        ratio = sum(rates[index] for index in both) / before
        detail = {"gpus": len(both), "sum_alone": before}
        found.append(Figure("scaling", ratio, "ratio", configuration=conditions, detail=detail))
    return found


def _straggler(rates: Dict[int, float], conditions: Dict[str, Any]) -> Figure:
    slowest = min(rates, key=lambda index: rates[index])
    usual = statistics.median(rates.values())
    detail = {"gpu_index": slowest, "slowest": rates[slowest], "median": usual}
    return Figure(
        "straggler", rates[slowest] / usual, "ratio", configuration=conditions, detail=detail
    )


def _overlap(answers: List[Answer]) -> Optional[float]:
    """The share of the longest measurement that was common to all; None without any."""
    if not answers:
        return None
    common = min(answer["ended"] for answer in answers) - max(
        answer["started"] for answer in answers
    )
    longest = max(answer["ended"] - answer["started"] for answer in answers)
    return max(0.0, common) / longest if longest > 0 else 0.0


def _told_overlap(stretch: float) -> Dict[str, Any]:
    told: Dict[str, Any] = {"common_stretch": stretch}
    if stretch < _OVERLAP:
        told["note"] = "the GPUs did not train at the same time for long enough"
    return told
