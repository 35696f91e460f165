"""`benchmark`: the child that says what the machine is, finds torch, and measures."""

import os
import platform
import sys
import time
import traceback
from typing import Any, Optional

from remote_agent import VERSION, own_code, spec
from remote_agent.events import EventWriter
from remote_agent.failure import Failure
from remote_agent.machine import nvml, probe
from remote_agent.provision import interpreters
from remote_agent.run_folder import RunFolder, boot_id, home
from remote_agent.supervisor import DISK_FULL_STATUS, FULL_DISK

_PROGRESS_SECONDS = 0.5
_INSTALL_SHARE = 0.8  # of the deadline; what is left must do for the measurement
_CLOCKS_DIFFER = 0.01


def benchmark(path: str, seq: int, start: Optional[float]) -> int:
    """
    Runs the spec of the run folder at `path`, its events on stdout; `seq` and `start` carry on.

    Returns 0 after `result`, 1 after `failed`, 74 where the events could not be written.
    """
    with open(RunFolder(path).spec, encoding="utf-8") as file:
        orders = spec.parse(file.read())
    events = EventWriter.on_stdout(orders.nonce, seq, start)
    try:
        failure = _failure_of(path, orders, events, resumed=start is not None)
        if failure is None:
            return 0
        events.emit("failed", code=failure.code, message=failure.message, detail=failure.detail)
        return 1
    except OSError as error:
        if error.errno in FULL_DISK:
            return DISK_FULL_STATUS
        raise


def _failure_of(
    path: str, orders: spec.Spec, events: EventWriter, resumed: bool
) -> Optional[Failure]:
    """Runs the benchmark; how it failed, if it did. Raises `OSError` where the disk is full."""
    try:
        if not resumed:
            _introduce(events)
            python = _find_torch(orders, events)
            if python != sys.executable:
                _go_on_with(python, path, events)
        _measure(orders, events)
    except Failure as failure:
        return failure
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise
        return _failure_from(error)
    return None


def _introduce(events: EventWriter) -> None:
    events.emit(
        "started",
        agent=VERSION,
        python=platform.python_version(),
        platform=platform.platform()[:200],
        boot_id=boot_id(),
    )
    events.emit("probe", **probe.probe())


def _find_torch(orders: spec.Spec, events: EventWriter) -> str:
    """The path of an interpreter that has torch, installed if need be. Raises `Failure`."""

    def tell(step: str, message: str, **fields: Any) -> None:
        events.emit("provision", step=step, message=message, **fields)

    wants_gpu = orders.options.device != "cpu" and nvml.has_driver()
    tell("searching", "Looking for a Python that has torch.")
    found, looked = interpreters.search(home(), wants_gpu)
    # A CPU build on a machine with a GPU would measure the wrong thing.
    if found and (found.cuda or not wants_gpu or not orders.provisioning.install):
        tell("found", "Found torch.", interpreter=found.path, torch=found.torch)
        return found.path
    if not orders.provisioning.install:
        seen = "\n".join(interpreter.path for interpreter in looked)
        raise Failure("provision_failed", "No Python of this machine has torch.", seen)
    from remote_agent.provision.installation import install

    limit = events.start + _INSTALL_SHARE * orders.deadline_seconds
    base = interpreters.for_installing(looked)
    python = install(home(), base, orders.provisioning, limit, tell)
    version = (interpreters.check(python) or looked[0]).torch
    tell("installed", "torch is ready.", interpreter=python, torch=version)
    return python


def _go_on_with(python: str, path: str, events: EventWriter) -> None:
    """Becomes `python` running this same benchmark: same process, same group, same stream."""
    events.give_back_stdout()
    argv = own_code.command(
        python, "benchmark", path, "--seq", str(events.seq), "--start", repr(events.start)
    )
    try:
        os.execv(python, argv)  # noqa: S606 - an interpreter that we have just tried
    except OSError as error:
        raise Failure("provision_failed", f"{python} could not be started.", str(error)) from error


def _measure(orders: spec.Spec, events: EventWriter) -> None:
    """Trains, and emits the result. Raises `Failure` and whatever torch does."""
    from remote_agent.machine.telemetry import Telemetry
    from remote_agent.measure import training as resnet_training
    from remote_agent.measure.result import result

    device = resnet_training.choose_device(orders.options.device)
    if device == "cpu" and orders.options.device == "auto" and nvml.has_driver():
        events.emit(
            "warning",
            code="gpu_unusable",
            message="This machine has an NVIDIA driver, but torch can't use its GPU.",
        )
    training = resnet_training.Training(orders.options, device)
    telemetry = Telemetry(resnet_training.bus_id() if device == "cuda" else None, events)
    try:
        warm = training.warm_up(_Report(events, "warmup", orders.options, training.warmup_steps))
        telemetry.begin()
        timing = training.measure(
            warm, _Report(events, "measure", orders.options, orders.options.steps, telemetry)
        )
        telemetry.tick(last=True)
        outcome = result(training, timing, warm, telemetry, probe.probe(), events.elapsed())
    finally:
        telemetry.close()
    _compare_clocks(timing.measured_seconds, timing.wall_seconds, events)
    events.emit("result", **outcome)


class _Report:
    """Passes progress on, about twice a second."""

    def __init__(
        self,
        events: EventWriter,
        phase: str,
        options: spec.Options,
        total: int,
        telemetry: Any = None,
    ) -> None:
        self._events = events
        self._phase = phase
        self._batch = options.batch_size
        self._total = total
        self._telemetry = telemetry
        self._told_at = 0.0

    def __call__(self, steps: int, seconds: float) -> None:
        now = time.monotonic()
        if steps < self._total and now - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = now
        self._events.emit(
            "progress",
            phase=self._phase,
            done=steps * self._batch,
            total=self._total * self._batch,
            images_per_sec=steps * self._batch / seconds if seconds > 0 else None,
        )
        if self._telemetry is not None:
            self._telemetry.tick()


def _compare_clocks(gpu_seconds: float, wall_seconds: float, events: EventWriter) -> None:
    if abs(gpu_seconds - wall_seconds) > max(0.01, _CLOCKS_DIFFER * wall_seconds):
        events.emit(
            "warning",
            code="clocks_disagree",
            message=f"The GPU measured {gpu_seconds:.3f} s where {wall_seconds:.3f} s went by.",
        )


def _failure_from(error: Exception) -> Failure:
    """What an unexpected exception is to the reader, with the end of its traceback."""
    detail = traceback.format_exc()[-4000:]
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return Failure("out_of_memory", "The batch does not fit into the memory.", detail)
    name = f"{type(error).__name__}: {error}"
    return Failure("benchmark_error", f"The benchmark failed: {name[:500]}", detail)
