"""THE MEASUREMENT: the requested training first, then whatever the profile adds, then the result."""

import os
import time
from typing import Any, Callable, Dict, List, NamedTuple

from remote_agent.events import EventWriter
from remote_agent.failure import Failure
from remote_agent.machine import nvml
from remote_agent.machine.telemetry import Telemetry
from remote_agent.measure import (
    checks,
    collectives,
    copies,
    devices,
    disk,
    gpus,
    kernels,
    parts,
    rates,
    result,
    timing,
)
from remote_agent.measure.figure import Figure
from remote_agent.measure.plan import Plan, plan_for
from remote_agent.measure.report import Report
from remote_agent.measure.result import Main
from remote_agent.measure.workload import Inference, Training
from remote_agent.spec import Options, Spec

_SHARE = 0.9  # of the deadline: no part is begun after it, so that the result is told in time


class _Part(NamedTuple):
    name: str
    seconds: float
    run: Callable[[], List[Figure]]


def measure(orders: Spec, events: EventWriter, machine: Dict[str, Any]) -> None:
    """
    Measures and emits the result; `machine` is what the probe told.

    Raises `Failure` where the requested training fails. Other parts that fail are told as figures without a
    value: they cost nobody the result.
    """
    plan, limit = plan_for(orders.options), events.start + _SHARE * orders.deadline_seconds
    device = devices.choose_device(orders.options.device)
    cards = devices.gpus() if device == "cuda" else []
    telemetry = Telemetry([card.bus_id for card in cards if card.bus_id], events)
    report = Report(events, telemetry.tick)
    try:
        _say_what_is_odd(orders.options, device, report)
        watch = checks.Watch(cards, machine, report)
        main = _requested(orders.options, device, plan, telemetry, report)
        notes = watch.look_at(main.timing, telemetry)
        figure = parts.figure_of("training", main.training, main.timing)
        report.figure(figure)
        others = _run_all(_after(main, figure, plan, report), limit, report)
        main.training.release()
        parts.release()
        others += _run_all(
            _others(orders.options, device, cards, main, plan, report), limit, report
        )
        telemetry.tick(last=True)
        watch.look_back(telemetry)
        telemetry.report()
        outcome = result.result(main, figure, plan, others, cards, machine, events.elapsed())
        outcome["raw_results"]["notes"] = notes
    finally:
        telemetry.close()
    events.emit("result", **outcome)


def _say_what_is_odd(options: Options, device: str, report: Report) -> None:
    if device == "cpu" and options.device == "auto" and nvml.has_driver():
        report.finding(
            "gpu_unusable",
            "This machine has an NVIDIA driver, but torch can't use its GPU.",
        )


def _requested(
    options: Options, device: str, plan: Plan, telemetry: Telemetry, report: Report
) -> Main:
    """Trains as requested. Raises `Failure` where the device computes wrongly or can't do it."""
    training = Training(options, device)
    progress = report.progress("warmup", options.batch_size, 1)
    warm = training.warm_up(progress, plan.training * 2 / 3)
    progress.finish()
    if training.fallback:
        report.finding("graph_unavailable", f"No CUDA graph, so eager: {training.fallback}")
    expected = round(plan.training / warm.step_seconds) if warm.step_seconds > 0 else 1
    progress = report.progress("measure", options.batch_size, max(options.steps, expected))
    telemetry.begin()
    progress.begin()
    timed = training.measure(warm, timing.Limits(options.steps, plan.training), progress)
    progress.finish()
    telemetry.tick(last=True)
    checks.losses(training, len(timed.steps) + warm.steps)
    reserved = parts.reserved_gb() if device == "cuda" else None
    return Main(training, warm, timed, telemetry.summary(), reserved)


def _after(main: Main, figure: Figure, plan: Plan, report: Report) -> List[_Part]:
    """What goes on with the model that was just trained."""

    def soak() -> List[Figure]:
        cold = figure.value or 0.0
        return parts.soak(main.training, main.warm, cold, plan.soak, report)

    return [_Part("soak", plan.soak, soak)]


def _others(
    options: Options,
    device: str,
    cards: List[devices.Device],
    main: Main,
    plan: Plan,
    report: Report,
) -> List[_Part]:
    """Parts of their own, in the order of their use to a reader; those of several GPUs where there are."""
    used = main.training.precision.name
    # Where no graph could be captured none is tried again: torch does not always recover from it.
    mode = "eager" if main.training.fallback else "auto"
    chosen = options._replace(precision=used, mode=mode)
    return [
        _Part(
            "inference",
            plan.inference,
            lambda: parts.inference(chosen, device, plan.inference, report),
        ),
        *_below(device, plan),
        *_of_all(chosen, cards, plan, report),
        _Part(
            "precisions",
            plan.precisions,
            lambda: parts.precisions(chosen, device, plan.precisions, report, used),
        ),
        _Part(
            "best training", plan.sweep, lambda: parts.best(Training, chosen, device, plan, report)
        ),
        _Part(
            "best inference",
            plan.sweep,
            lambda: parts.best(Inference, chosen, device, plan, report),
        ),
        _Part("disk write", plan.disk, lambda: disk.throughput(os.path.expanduser("~"), plan.disk)),
    ]


def _below(device: str, plan: Plan) -> List[_Part]:
    """What ResNet-50 rests on: arithmetic, memory and the way to the host, of the first device."""
    seconds, number = plan.kernels, 0 if device == "cuda" else None
    return [
        _Part("matrix multiply", seconds, lambda: kernels.matmul(device, seconds, number)),
        _Part("memory copy", seconds, lambda: kernels.memory_bandwidth(device, seconds, number)),
        _Part("host to device", seconds, lambda: copies.host_copies(device, seconds, number)),
    ]


def _of_all(
    options: Options, cards: List[devices.Device], plan: Plan, report: Report
) -> List[_Part]:
    """What several GPUs do beside and with each other; nothing where there is one."""
    if len(cards) < 2:
        return []
    all_of_them = [(card.number, card.uuid, "cuda") for card in cards]

    def tell(_message: str) -> None:
        report.keep_up()

    return [
        _Part("peer to peer", plan.kernels, lambda: copies.peer_copies(plan.kernels)),
        _Part(
            "all GPUs training",
            plan.together,
            lambda: gpus.measure_all(options, all_of_them, plan.together, plan.alone > 0, tell),
        ),
        _Part(
            "all-reduce",
            plan.collectives,
            lambda: collectives.measure(options, all_of_them, plan.collectives, tell),
        ),
    ]


def _run_all(wanted: List[_Part], limit: float, report: Report) -> List[Figure]:
    """The figures of all parts; each is told as soon as it is there."""
    found: List[Figure] = []
    for part in wanted:
        if part.seconds <= 0:
            continue
        if time.monotonic() + part.seconds > limit:
            report.finding("part_skipped", f"No time was left for: {part.name}.", part.name)
            continue
        for figure in _figures_of(part):
            report.figure(figure)
            found.append(figure)
        parts.release()
    return found


def _figures_of(part: _Part) -> List[Figure]:
    """The part's figures. Raises `Failure` where the device computes wrongly: that fails the run."""
    try:
        return part.run()
    except Failure as failure:
        if failure.code == "wrong_arithmetic":
            raise
        trouble = failure.message
    except Exception as error:
        trouble = rates.error_text(error)
    return [Figure(part.name, None, "", detail={"error": trouble})]
