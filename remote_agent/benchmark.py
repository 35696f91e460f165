"""`benchmark`: the child that says what the machine is, finds torch, and measures."""

import os
import platform
import sys
import traceback
from typing import Any, Optional

from remote_agent import VERSION, own_code, spec
from remote_agent.events import EventWriter
from remote_agent.failure import Failure, is_out_of_memory
from remote_agent.machine import probe
from remote_agent.run_folder import RunFolder, boot_id, home
from remote_agent.supervisor import DISK_FULL_STATUS, FULL_DISK

_INSTALL_SHARE = 0.8  # of the deadline; what is left must do for the measurement


def benchmark(path: str, seq: int, start: Optional[float]) -> int:
    """
    Runs the spec of the run folder at `path`, its events on stdout; `seq` and `start` carry on.

    Returns 0 after `result`, 1 after `failed`, 74 where the events could not be written.
    """
    # CUDA counts the fastest card first, NVML by slots: who reads "GPU 0" must mean one card.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
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

    from remote_agent.provision.finding import find_torch

    limit = events.start + _INSTALL_SHARE * orders.deadline_seconds
    return find_torch(orders.provisioning, orders.options.device, home(), limit, tell)


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
    from remote_agent.measure.measurement import measure  # torch is imported here

    measure(orders, events, probe.probe())


def _failure_from(error: Exception) -> Failure:
    """What an unexpected exception is to the reader, with the end of its traceback."""
    detail = traceback.format_exc()[-4000:]
    if is_out_of_memory(error):
        return Failure("out_of_memory", "The batch does not fit into the memory.", detail)
    name = f"{type(error).__name__}: {error}"
    return Failure("benchmark_error", f"The benchmark failed: {name[:500]}", detail)
