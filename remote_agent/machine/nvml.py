"""NVIDIA's management library: readings of one GPU, None for whatever it can't tell."""

import contextlib
import os
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

_GIB = 2**30


class Gpu(NamedTuple):
    """A card as NVML lists it; `memory_total_gb` in GiB."""

    number: int
    name: str
    uuid: Optional[str]
    memory_total_gb: Optional[float]


class Reading(NamedTuple):
    """One look at a GPU, in the units that the names say, memory in GiB."""

    power_watts: Optional[float]
    temperature_celsius: Optional[float]
    utilization_percent: Optional[float]
    memory_used_gb: Optional[float]
    sm_clock_mhz: Optional[float]


def has_driver() -> bool:
    """Whether this machine has an NVIDIA driver, loaded or passed into the container."""
    return any(
        os.path.exists(path)
        for path in ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
    )


@contextlib.contextmanager
def opened() -> Iterator[Optional["Nvml"]]:
    """NVML while the block runs, None on a machine without it."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        yield None
        return
    try:
        yield Nvml(pynvml)
    finally:
        _ask(pynvml.nvmlShutdown)


class Nvml:
    """
    The calls that we use. Drivers differ in what they support, and a reading that is not there
    must become null, never 0: hence every call goes through `_ask`.
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def driver_version(self) -> Optional[str]:
        return _text(_ask(self._library.nvmlSystemGetDriverVersion))

    def cuda_version(self) -> Optional[str]:
        """The newest CUDA that the driver can run, as "12.4"."""
        number = _ask(self._library.nvmlSystemGetCudaDriverVersion)
        return f"{number // 1000}.{number % 1000 // 10}" if number else None

    def gpus(self) -> Optional[List[Gpu]]:
        """All cards of the machine, None where they can't be counted."""
        cards = self.cards()
        return None if cards is None else [self._gpu(*card) for card in cards.items()]

    def cards(self) -> Optional[Dict[int, Any]]:
        """The handles of all cards by their numbers, None where they can't be counted."""
        count = _ask(self._library.nvmlDeviceGetCount)
        if count is None:
            return None
        handles = [_ask(self._library.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
        return {index: handle for index, handle in enumerate(handles) if handle}

    def by_bus_id(self, bus_id: str) -> Any:
        """The handle of the card in the PCI slot `bus_id` ("0000:3B:00.0"), None without one."""
        return _ask(self._library.nvmlDeviceGetHandleByPciBusId, bus_id)

    def index(self, handle: Any) -> int:
        """NVML's number of the card, which needs not be CUDA's."""
        return _ask(self._library.nvmlDeviceGetIndex, handle) or 0

    def name(self, handle: Any) -> str:
        return _text(_ask(self._library.nvmlDeviceGetName, handle)) or "unknown"

    def compute_processes(self, handle: Any) -> int:
        """How many processes compute on the card, as far as this container sees them."""
        return len(_ask(self._library.nvmlDeviceGetComputeRunningProcesses, handle) or ())

    def graphics_processes(self, handle: Any) -> int:
        """How many processes draw with the card."""
        return len(_ask(self._library.nvmlDeviceGetGraphicsRunningProcesses, handle) or ())

    def memory_in_use_gb(self, handle: Any) -> Optional[float]:
        """What processes occupy; without what the driver keeps, where it tells them apart."""
        library = self._library
        version = getattr(library, "nvmlMemory_v2", None)
        memory = _ask(library.nvmlDeviceGetMemoryInfo, handle, version) if version else None
        memory = memory or _ask(library.nvmlDeviceGetMemoryInfo, handle)
        return memory.used / _GIB if memory else None

    def memory_total_gb(self, handle: Any) -> Optional[float]:
        memory = _ask(self._library.nvmlDeviceGetMemoryInfo, handle)
        return memory.total / _GIB if memory else None

    def read(self, handle: Any) -> Reading:
        """One look at the card; well under a millisecond on most drivers."""
        library = self._library
        rates = _ask(library.nvmlDeviceGetUtilizationRates, handle)
        memory = _ask(library.nvmlDeviceGetMemoryInfo, handle)
        temperature = _ask(library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU)
        clock = _ask(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_SM)
        return Reading(
            power_watts=_within(self._power(handle), 0, 20_000),
            temperature_celsius=_within(temperature, -50, 200),
            utilization_percent=_within(rates.gpu if rates else None, 0, 100),
            memory_used_gb=memory.used / _GIB if memory else None,
            sm_clock_mhz=_within(clock, 0, 100_000),
        )

    def _gpu(self, number: int, handle: Any) -> Gpu:
        return Gpu(
            number=number,
            name=self.name(handle),
            uuid=_text(_ask(self._library.nvmlDeviceGetUUID, handle)),
            memory_total_gb=self.memory_total_gb(handle),
        )

    def _power(self, handle: Any) -> Optional[float]:
        """Watts at this instant where the driver tells; its older call averages over a second."""
        library = self._library
        field = getattr(library, "NVML_FI_DEV_POWER_INSTANT", None)
        values = _ask(library.nvmlDeviceGetFieldValues, handle, [field]) if field else None
        if values and values[0].nvmlReturn == library.NVML_SUCCESS and values[0].value.uiVal:
            return float(values[0].value.uiVal) / 1000
        milliwatts = _ask(library.nvmlDeviceGetPowerUsage, handle)
        return None if milliwatts is None else float(milliwatts) / 1000


def _ask(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception:
        return None


def _text(value: Any) -> Optional[str]:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text[:200] if text else None


def _within(value: Any, low: float, high: float) -> Optional[float]:
    """`value` if it can be true; broken sensors answer with values such as 2^32 - 1."""
    return float(value) if value is not None and low <= value <= high else None
