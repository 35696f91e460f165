"""One look at a card: what is read, in which units, and what the bits of its clock reasons mean."""

from typing import Iterable, List, NamedTuple, Optional, Tuple

HW_SLOWDOWN = 0x08
SW_POWER_CAP = 0x04
SW_THERMAL = 0x20
HW_THERMAL = 0x40
POWER_BRAKE = 0x80

CLOCK_REASONS = (
    (0x01, "gpu_idle"),
    (0x02, "applications_clocks"),
    (SW_POWER_CAP, "sw_power_cap"),
    (HW_SLOWDOWN, "hw_slowdown"),
    (0x10, "sync_boost"),
    (SW_THERMAL, "sw_thermal"),
    (HW_THERMAL, "hw_thermal"),
    (POWER_BRAKE, "power_brake"),
    (0x100, "display"),
)
"""NVML's bits, which say why the clocks are not higher, and the contract's words for them."""


class Reading(NamedTuple):
    """
    One look at a card, in the units that the names say, memory in GiB; None is what can't be told.

    `energy_joules` counts since the driver was loaded, `clock_reasons` is a bit mask, `processes` are
    those of others that compute. From `pcie_generation` on all is slow to ask for and is read once a
    second only: in between it is None.
    """

    power_watts: Optional[float] = None
    energy_joules: Optional[float] = None
    temperature_celsius: Optional[float] = None
    sm_clock_mhz: Optional[float] = None
    memory_clock_mhz: Optional[float] = None
    clock_reasons: Optional[int] = None
    utilization_percent: Optional[float] = None
    memory_used_gb: Optional[float] = None
    pcie_generation: Optional[int] = None
    pcie_width: Optional[int] = None
    pcie_replays: Optional[int] = None
    processes: Optional[int] = None


class Moment(NamedTuple):
    """
    A reading, when it was taken (seconds of the monotonic clock), and the XIDs that came before it.

    An XID is the number of an error that the driver has noticed since the moment before.
    """

    at: float
    reading: Reading
    xids: Tuple[int, ...] = ()


def reason_words(mask: int) -> List[str]:
    """The contract's words for the bits of `mask`; bits without a word are left out."""
    return [word for bit, word in CLOCK_REASONS if mask & bit]


def mean(values: Iterable[Optional[float]]) -> Optional[float]:
    """The mean of the values that are there, None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def highest(values: Iterable[Optional[float]]) -> Optional[float]:
    """The greatest of the values that are there, None without any."""
    return max((value for value in values if value is not None), default=None)
