"""What a card counts of its own faults: read before and after a measurement, and compared."""

import time
from typing import Any, Dict, NamedTuple, Optional, Union

from remote_agent.machine.nvml import Nvml

_CORRECTED, _UNCORRECTED = 0, 1
_VOLATILE, _AGGREGATE = 0, 1
_POLICIES = {"power": 0, "thermal": 1, "board_limit": 3, "reliability": 5}
_NANOSECONDS = 1e9


class Health(NamedTuple):
    """
    A card's counters; None is what it does not have.

    `at` is when they were read, in seconds of the monotonic clock. ECC counts are those since the driver
    was loaded (volatile) and of the card's whole life (aggregate). Rows of memory are remapped after
    errors; `remap_pending` waits for a reset of the card, `remap_failure` has found no spare row.
    Violations are the seconds, since the driver was loaded, in which the card was held below its clocks.
    """

    at: float
    ecc_corrected_volatile: Optional[int] = None
    ecc_uncorrected_volatile: Optional[int] = None
    ecc_corrected_aggregate: Optional[int] = None
    ecc_uncorrected_aggregate: Optional[int] = None
    remapped_corrected: Optional[int] = None
    remapped_uncorrected: Optional[int] = None
    remap_pending: Optional[bool] = None
    remap_failure: Optional[bool] = None
    retired_pages_pending: Optional[bool] = None
    pcie_replays: Optional[int] = None
    power_violation_seconds: Optional[float] = None
    thermal_violation_seconds: Optional[float] = None
    board_limit_violation_seconds: Optional[float] = None
    reliability_violation_seconds: Optional[float] = None

    @classmethod
    def of(cls, library: Nvml, handle: Any) -> "Health":
        """The counters of the card `handle` now."""
        rows = library.ask("nvmlDeviceGetRemappedRows", handle)
        corrected, uncorrected, pending, failure = rows or (None, None, None, None)
        return cls(
            at=time.monotonic(),
            ecc_corrected_volatile=_ecc(library, handle, _CORRECTED, _VOLATILE),
            ecc_uncorrected_volatile=_ecc(library, handle, _UNCORRECTED, _VOLATILE),
            ecc_corrected_aggregate=_ecc(library, handle, _CORRECTED, _AGGREGATE),
            ecc_uncorrected_aggregate=_ecc(library, handle, _UNCORRECTED, _AGGREGATE),
            remapped_corrected=corrected,
            remapped_uncorrected=uncorrected,
            remap_pending=_yes(pending),
            remap_failure=_yes(failure),
            retired_pages_pending=_yes(
                library.ask("nvmlDeviceGetRetiredPagesPendingStatus", handle)
            ),
            pcie_replays=library.count("nvmlDeviceGetPcieReplayCounter", handle, most=2**32 - 2),
            **{
                f"{word}_violation_seconds": _violation(library, handle, policy)
                for word, policy in _POLICIES.items()
            },
        )


def changes(before: Optional[Health], after: Optional[Health]) -> Dict[str, Union[int, float]]:
    """
    By how much each counter has risen, and 1 for each flag that was raised; only what has changed.

    `at`, the seconds between the two, is always there. A counter that either of them lacks, or that has
    fallen (a driver was loaded anew), is left out. Empty where either of them is missing.
    """
    if before is None or after is None:
        return {}
    found: Dict[str, Union[int, float]] = {"at": after.at - before.at}
    for name, was in before._asdict().items():
        now = getattr(after, name)
        if was is not None and now is not None and now > was:
            found[name] = now - was
    return found


def _ecc(library: Nvml, handle: Any, kind: int, counter: int) -> Optional[int]:
    return library.count("nvmlDeviceGetTotalEccErrors", handle, kind, counter)


def _yes(flag: Any) -> Optional[bool]:
    return None if flag is None else bool(flag)


def _violation(library: Nvml, handle: Any, policy: int) -> Optional[float]:
    found = library.ask("nvmlDeviceGetViolationStatus", handle, policy)
    nanoseconds = getattr(found, "violationTime", None)
    return None if nanoseconds is None else float(nanoseconds) / _NANOSECONDS
