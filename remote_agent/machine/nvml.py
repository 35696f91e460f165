"""NVIDIA's management library: what it tells of one card, None for whatever it can't."""

import contextlib
import os
from typing import Any, Dict, Iterator, List, Optional, Tuple

from remote_agent.machine.reading import Reading

_GIB = 2**30
# Numbers of NVML's interface, which old copies of its Python module lack in part.
_TEMPERATURE_GPU = 0
_CLOCK_SM, _CLOCK_MEMORY = 1, 2
_POWER_INSTANT, _SCOPE_GPU = 186, 0
_XID_CRITICAL = 8
_MOST_XIDS = 16  # taken at once; whatever floods us with more is told well enough by these


def has_driver(root: str = "/") -> bool:
    """Whether this machine has an NVIDIA driver, loaded or passed into the container."""
    paths = ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/nvidia0", "dev/dxg")
    return any(os.path.exists(os.path.join(root, path)) for path in paths)


@contextlib.contextmanager
def opened() -> Iterator[Optional["Nvml"]]:
    """NVML while the block runs, None on a machine without it."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        yield None
        return
    library = Nvml(pynvml)
    try:
        yield library
    finally:
        library.ask("nvmlShutdown")


def same_slot(one: Optional[str], other: Optional[str]) -> bool:
    """Whether two PCI slots are the same one: some write the domain with four digits, some with eight."""
    return bool(one and other) and _slot(str(one)) == _slot(str(other))


class Nvml:
    """
    The calls that we use. Drivers differ in what they support, and a reading that is not there
    must become null, never 0: hence every call goes through `ask`.
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def ask(self, call: str, *arguments: Any, failed: Any = None) -> Any:
        """What NVML answers to `call`; `failed` where it fails, whatever the reason, or has no such call."""
        try:
            return getattr(self._library, call)(*arguments)
        except Exception:
            return failed

    def text(self, call: str, *arguments: Any) -> Optional[str]:
        """The same for an answer in words, at most 200 characters of it."""
        return _text(self.ask(call, *arguments))

    def count(self, call: str, *arguments: Any, most: int = 2**62) -> Optional[int]:
        """The same for a whole number; one over `most` can't be true."""
        value = self.ask(call, *arguments)
        return int(value) if value is not None and 0 <= value <= most else None

    def driver_version(self) -> Optional[str]:
        return self.text("nvmlSystemGetDriverVersion")

    def cuda_version(self) -> Optional[str]:
        """The newest CUDA that the driver can run, as "12.4"."""
        number = self.ask("nvmlSystemGetCudaDriverVersion")
        return f"{number // 1000}.{number % 1000 // 10}" if number else None

    def cards(self) -> Optional[Dict[int, Any]]:
        """The handles of all cards by their numbers, None where they can't be counted."""
        count = self.ask("nvmlDeviceGetCount")
        if count is None:
            return None
        handles = [self.ask("nvmlDeviceGetHandleByIndex", index) for index in range(count)]
        return {index: handle for index, handle in enumerate(handles) if handle}

    def by_bus_id(self, bus_id: str) -> Any:
        """The handle of the card in the PCI slot `bus_id` ("0000:3B:00.0"), None without one."""
        return self.ask("nvmlDeviceGetHandleByPciBusId", bus_id)

    def index(self, handle: Any) -> Optional[int]:
        """NVML's number of the card, which needs not be CUDA's."""
        return self.count("nvmlDeviceGetIndex", handle, most=1024)

    def name(self, handle: Any) -> str:
        return self.text("nvmlDeviceGetName", handle) or "unknown"

    def uuid(self, handle: Any) -> Optional[str]:
        return self.text("nvmlDeviceGetUUID", handle)

    def bus_id(self, handle: Any) -> Optional[str]:
        """The card's PCI slot."""
        return _text(getattr(self.ask("nvmlDeviceGetPciInfo", handle), "busId", None))

    def compute_processes(self, handle: Any) -> int:
        """How many processes compute on the card, as far as this container sees them."""
        return len(self.ask("nvmlDeviceGetComputeRunningProcesses", handle) or ())

    def compute_pids(self, handle: Any) -> Optional[List[int]]:
        """Who computes on the card, None where it can't be told."""
        found = self.ask("nvmlDeviceGetComputeRunningProcesses", handle)
        return None if found is None else [int(process.pid) for process in found]

    def graphics_processes(self, handle: Any) -> int:
        """How many processes draw with the card."""
        return len(self.ask("nvmlDeviceGetGraphicsRunningProcesses", handle) or ())

    def memory_in_use_gb(self, handle: Any) -> Optional[float]:
        """What processes occupy; without what the driver keeps, where it tells them apart."""
        version = getattr(self._library, "nvmlMemory_v2", None)
        memory = self.ask("nvmlDeviceGetMemoryInfo", handle, version) if version else None
        memory = memory or self.ask("nvmlDeviceGetMemoryInfo", handle)
        return memory.used / _GIB if memory else None

    def memory_gb(self, handle: Any) -> Tuple[Optional[float], Optional[float]]:
        """All memory of the card, and what of it is free."""
        memory = self.ask("nvmlDeviceGetMemoryInfo", handle)
        return (memory.total / _GIB, memory.free / _GIB) if memory else (None, None)

    def read(self, handle: Any) -> Reading:
        """One look at the card without what is slow; well under a millisecond on most drivers."""
        ask = self.ask
        rates = ask("nvmlDeviceGetUtilizationRates", handle)
        memory = ask("nvmlDeviceGetMemoryInfo", handle)
        energy = self.count("nvmlDeviceGetTotalEnergyConsumption", handle)
        heat = ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU)
        sm_clock = ask("nvmlDeviceGetClockInfo", handle, _CLOCK_SM)
        memory_clock = ask("nvmlDeviceGetClockInfo", handle, _CLOCK_MEMORY)
        return Reading(
            power_watts=_within(self._power(handle), 0, 20_000),
            energy_joules=None if energy is None else energy / 1000,
            temperature_celsius=_within(heat, -50, 200),
            sm_clock_mhz=_within(sm_clock, 0, 100_000),
            memory_clock_mhz=_within(memory_clock, 0, 100_000),
            clock_reasons=self._clock_reasons(handle),
            utilization_percent=_within(rates.gpu if rates else None, 0, 100),
            memory_used_gb=memory.used / _GIB if memory else None,
        )

    def read_all(self, handle: Any) -> Reading:
        """The same with the PCIe link; processes are not for NVML alone to tell."""
        return self.read(handle)._replace(
            pcie_generation=self.count("nvmlDeviceGetCurrPcieLinkGeneration", handle, most=16),
            pcie_width=self.count("nvmlDeviceGetCurrPcieLinkWidth", handle, most=64),
            pcie_replays=self.count("nvmlDeviceGetPcieReplayCounter", handle, most=2**32 - 2),
        )

    def watched(self, handle: Any) -> Any:
        """A queue in which NVML notes the card's XIDs from now on, None where it can't."""
        queue = self.ask("nvmlEventSetCreate")
        if queue is None:
            return None
        register = "nvmlDeviceRegisterEvents"
        if self.ask(register, handle, _XID_CRITICAL, queue, failed=False) is False:
            self.ask("nvmlEventSetFree", queue)
            return None
        return queue

    def xids(self, queue: Any) -> Tuple[int, ...]:
        """What the queue has taken in since the last call; does not wait."""
        found: List[int] = []
        while queue is not None and len(found) < _MOST_XIDS:
            event = self.ask("nvmlEventSetWait", queue, 0)
            if event is None:
                break
            found.append(int(event.eventData))
        return tuple(found)

    def _clock_reasons(self, handle: Any) -> Optional[int]:
        mask = self.count("nvmlDeviceGetCurrentClocksEventReasons", handle)
        if mask is None:  # drivers before 535 know the older name alone
            mask = self.count("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
        return mask

    def _power(self, handle: Any) -> Optional[float]:
        """Watts at this instant where the driver tells; its older call averages over a second."""
        values = self.ask("nvmlDeviceGetFieldValues", handle, [(_POWER_INSTANT, _SCOPE_GPU)])
        if values and values[0].nvmlReturn == 0 and values[0].value.uiVal:
            return float(values[0].value.uiVal) / 1000
        milliwatts = self.ask("nvmlDeviceGetPowerUsage", handle)
        return None if milliwatts is None else float(milliwatts) / 1000


def _text(value: Any) -> Optional[str]:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text[:200] if text else None


def _within(value: Any, low: float, high: float) -> Optional[float]:
    """`value` if it can be true; broken sensors answer with values such as 2^32 - 1."""
    return float(value) if value is not None and low <= value <= high else None


def _slot(text: str) -> str:
    domain, _, rest = text.lower().rpartition(":")[0].partition(":")
    return f"{domain.lstrip('0')}:{rest}:{text.lower().rpartition(':')[2]}"
