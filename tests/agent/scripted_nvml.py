"""
Stands for NVIDIA's Python module `pynvml`: a machine as the file $SCRIPTED_NVML describes it, in JSON.

    {"missing": ["GetCount"], "hangs": "nvmlInit", "cards": [{...}, ...]}

Calls whose names end in a word of `missing` fail, those of the machine or of one card; the one that
`hangs` never returns. The file is read anew when it changes. A card's value of the form
`{"turns": [...]}` changes call by call. This file stands alone, as it is copied under its other name.
"""

# ruff: noqa: N802 - the names are NVML's

import functools
import inspect
import json
import os
import signal
import time
from types import SimpleNamespace

nvmlMemory_v2 = 2  # noqa: N816 - NVML's name

_read = {"stamp": None, "machine": {}}
_calls = {}


class NVMLError(Exception):
    """Whatever NVML answers but success."""


class _Handle:
    def __init__(self, place):
        self.place = place


def _machine():
    path = os.environ["SCRIPTED_NVML"]
    stamp = os.stat(path)
    key = (stamp.st_mtime_ns, stamp.st_ino)
    if _read["stamp"] != key:
        with open(path, encoding="utf-8") as file:
            _read.update(stamp=key, machine=json.load(file))
    return _read["machine"]


def _value(handle, name):
    value = _machine()["cards"][handle.place][name]
    if isinstance(value, dict) and "turns" in value:
        turn = _calls.get((handle.place, name), 0)
        _calls[handle.place, name] = turn + 1
        return value["turns"][turn % len(value["turns"])]
    return value


def _call(function):
    """NVML's call of that name, unless it is missing."""

    @functools.wraps(function)
    def called(*arguments):
        machine = _machine()
        missing = list(machine.get("missing", ()))
        if arguments and isinstance(arguments[0], _Handle):
            missing += machine["cards"][arguments[0].place].get("missing", ())
        if machine.get("hangs") == function.__name__:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        if function.__name__.endswith(tuple(missing)):
            raise NVMLError("Not Supported")
        return function(*arguments)

    return called


def nvmlInit():
    pass


def nvmlShutdown():
    pass


def nvmlSystemGetDriverVersion():
    return b"560.35"


def nvmlSystemGetCudaDriverVersion():
    return 12060


def nvmlDeviceGetCount():
    return len(_machine()["cards"])


def nvmlDeviceGetHandleByIndex(index):
    return _Handle(index)


def nvmlDeviceGetHandleByPciBusId(slot):
    slots = [card["slot"].partition(":")[2] for card in _machine()["cards"]]
    return _Handle(slots.index(slot.partition(":")[2]))


def nvmlDeviceGetIndex(handle):
    return handle.place


def nvmlDeviceGetName(handle):
    return _value(handle, "name")


def nvmlDeviceGetUUID(handle):
    return _value(handle, "uuid")


def nvmlDeviceGetPciInfo(handle):
    return SimpleNamespace(busId=_value(handle, "slot").encode())


def nvmlDeviceGetMemoryInfo(handle, version=None):
    total, used = (int(_value(handle, name) * 2**30) for name in ("memory", "used"))
    reserved = 0 if version else 2**29  # the older call counts what the driver keeps
    return SimpleNamespace(total=total, used=used + reserved, free=total - used - 2**29)


def nvmlDeviceGetUtilizationRates(handle):
    return SimpleNamespace(gpu=_value(handle, "utilization"), memory=50)


def nvmlDeviceGetTemperature(handle, sensor):
    return _value(handle, "temperature") if sensor == 0 else 1 / 0


def nvmlDeviceGetClockInfo(handle, kind):
    return _value(handle, {1: "sm_clock", 2: "memory_clock"}[kind])


def nvmlDeviceGetCurrentClocksEventReasons(handle):
    return _value(handle, "reasons")


def nvmlDeviceGetCurrentClocksThrottleReasons(handle):
    return _value(handle, "reasons")


def nvmlDeviceGetFieldValues(handle, wanted):
    watts = _value(handle, "watts_now")
    known = wanted == [(186, 0)] and watts is not None
    milliwatts = int(watts * 1000) if known else 0
    return [SimpleNamespace(nvmlReturn=0 if known else 3, value=SimpleNamespace(uiVal=milliwatts))]


def nvmlDeviceGetPowerUsage(handle):
    return int(_value(handle, "watts") * 1000)


def nvmlDeviceGetTotalEnergyConsumption(handle):
    return int(_value(handle, "watts") * 1000 * time.monotonic())


def nvmlDeviceGetCurrPcieLinkGeneration(handle):
    return _value(handle, "generation")


def nvmlDeviceGetCurrPcieLinkWidth(handle):
    return _value(handle, "width")


def nvmlDeviceGetMaxPcieLinkGeneration(handle):
    return _value(handle, "generation_max")


def nvmlDeviceGetMaxPcieLinkWidth(handle):
    return _value(handle, "width_max")


def nvmlDeviceGetPcieReplayCounter(handle):
    return _value(handle, "replays")


def nvmlDeviceGetComputeRunningProcesses(handle):
    return [SimpleNamespace(pid=pid) for pid in _value(handle, "pids")]


def nvmlDeviceGetGraphicsRunningProcesses(handle):
    return [SimpleNamespace(pid=pid) for pid in _value(handle, "drawing")]


def nvmlEventSetCreate():
    return {"handle": None, "told": 0}


def nvmlEventSetFree(queue):
    pass


def nvmlDeviceRegisterEvents(handle, types, queue):
    queue["handle"] = handle if types == 8 else None


def nvmlEventSetWait(queue, milliseconds):
    waiting = _value(queue["handle"], "xids")[queue["told"] :]
    if not waiting:
        raise NVMLError("Timeout")
    queue["told"] += 1
    return SimpleNamespace(eventType=8, eventData=waiting[0])


def nvmlDeviceGetCudaComputeCapability(handle):
    return tuple(_value(handle, "capability"))


def nvmlDeviceGetMigMode(handle):
    return [_value(handle, "mig"), 0]


def nvmlDeviceGetPersistenceMode(handle):
    return _value(handle, "persistence")


def nvmlDeviceGetEccMode(handle):
    return [_value(handle, "ecc"), 1]


def nvmlDeviceGetEnforcedPowerLimit(handle):
    return int(_value(handle, "limit") * 1000)


def nvmlDeviceGetPowerManagementLimit(handle):
    return int(_value(handle, "limit_set") * 1000)


def nvmlDeviceGetPowerManagementDefaultLimit(handle):
    return int(_value(handle, "limit_default") * 1000)


def nvmlDeviceGetVbiosVersion(handle):
    return "96.00.74.00.01"


def nvmlDeviceGetTotalEccErrors(handle, kind, counter):
    return _value(handle, "errors")[2 * counter + kind]


def nvmlDeviceGetRemappedRows(handle):
    return tuple(_value(handle, "rows"))


def nvmlDeviceGetRetiredPagesPendingStatus(handle):
    return _value(handle, "retired_pending")


def nvmlDeviceGetViolationStatus(handle, policy):
    seconds = _value(handle, "violations").get(str(policy), 0)
    return SimpleNamespace(referenceTime=0, violationTime=int(seconds * 1e9))


for _name, _function in list(globals().items()):
    if _name.startswith("nvml") and inspect.isfunction(_function):
        globals()[_name] = _call(_function)
