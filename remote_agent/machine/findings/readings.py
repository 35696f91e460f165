"""Findings from the readings of one measurement: clocks held down, company, a narrow link, errors."""

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from remote_agent.machine.findings.finding import Finding, card_of, many, there
from remote_agent.machine.reading import (
    HW_SLOWDOWN,
    HW_THERMAL,
    POWER_BRAKE,
    SW_POWER_CAP,
    SW_THERMAL,
    Moment,
    Reading,
    highest,
    mean,
    reason_words,
)
from remote_agent.series_measures import percentile

_SLOWED = HW_SLOWDOWN | SW_THERMAL | HW_THERMAL | POWER_BRAKE
_SLOWED_SHARE = 0.05
_CAPPED_SHARE = 0.5
_CAPPED_CLOCK = 0.9
_LOADED_PERCENT = 50
_LEAST = 2  # readings that have to agree, since one alone may be a coincidence
_REPLAYS_A_MINUTE = 8  # which a sound link may need
# Faults of a program and not of the card; ending one in the middle of its work is told as one of them.
# NVIDIA's own device plugin for Kubernetes passes over the same.
_OF_PROGRAMS = {13, 31, 43, 45, 68, 109}
_XIDS = {
    48: "an uncorrectable memory error",
    62: "a halt of the card's own controller",
    63: "a row of memory was remapped",
    64: "no row of memory could be remapped",
    74: "an NVLink error",
    79: "the card has fallen off the bus",
    92: "many corrected memory errors",
    94: "a contained memory error",
    95: "an uncontained memory error",
    119: "the card's system processor does not answer",
    120: "an error of the card's system processor",
}


def of_telemetry(moments: Sequence[Moment], gpu: Mapping[str, Any]) -> List[Finding]:
    """
    What the readings of one measurement say of the card `gpu`, an entry of the probe's `gpus`.

    Codes: throttled, power_capped, co_tenant, pcie_link, xid.
    """
    card = card_of(gpu)
    link = _narrow_link(moments, gpu, card) or _replays(moments, card)
    return there(
        [
            _throttled(moments, card),
            _power_capped(moments, card),
            _crowded(moments, card),
            link,
            _xid(moments, card),
        ]
    )


def notes(moments: Sequence[Moment], gpu: Mapping[str, Any]) -> List[str]:
    """Sentences on what is usual and yet worth knowing: a card that ran at its power limit."""
    capped, count = _capped(moments)
    watts = mean(moment.reading.power_watts for moment in moments)
    limit = gpu.get("power_limit_watts")
    if capped < _CAPPED_SHARE or watts is None or limit is None:
        return []
    return [
        f"The power limit of {limit:.0f} W held {card_of(gpu)} in {capped:.0%} of {count} readings;"
        f" it drew {watts:.0f} W in the mean."
    ]


def _throttled(moments: Sequence[Moment], card: str) -> Optional[Finding]:
    known = _masks(moments)
    slowed = [mask & _SLOWED for mask in known if mask & _SLOWED]
    if len(slowed) < max(_LEAST, _SLOWED_SHARE * len(known)):
        return None
    union = 0
    for mask in slowed:
        union |= mask
    heat = highest(moment.reading.temperature_celsius for moment in moments)
    warmth = "" if heat is None else f", at up to {heat:.0f} °C"
    return Finding(
        "throttled",
        f"The clocks of {card} were slowed in {len(slowed) / len(known):.0%} of {len(known)} readings"
        f" ({', '.join(reason_words(union))}){warmth}: see to its cooling and its power supply.",
    )


def _power_capped(moments: Sequence[Moment], card: str) -> Optional[Finding]:
    """A card at its limit is usual; one that the limit keeps far from what it reached is not."""
    capped, count = _capped(moments)
    clocks = [
        reading.sm_clock_mhz
        for reading in (moment.reading for moment in moments)
        # The clocks of a pause say nothing of the limit.
        if reading.sm_clock_mhz is not None and not _is_idle(reading)
    ]
    if capped < _CAPPED_SHARE or not clocks:
        return None
    usual = sum(clocks) / len(clocks)
    # When a load begins the clock may be high for a moment: that alone is not what a card reaches.
    best = percentile(clocks, 0.95)
    if usual >= _CAPPED_CLOCK * best:
        return None
    return Finding(
        "power_capped",
        f"The power limit held {card} in {capped:.0%} of {count} readings, with {usual:.0f} MHz in the"
        f" mean where it reached {best:.0f} MHz: see to its power limit and its supply.",
    )


def _is_idle(reading: Reading) -> bool:
    percent = reading.utilization_percent
    return percent is not None and percent < _LOADED_PERCENT


def _masks(moments: Sequence[Moment]) -> List[int]:
    masks = (moment.reading.clock_reasons for moment in moments)
    return [mask for mask in masks if mask is not None]


def _capped(moments: Sequence[Moment]) -> Tuple[float, int]:
    """In which share of how many readings the power limit held the clocks, and nothing worse did."""
    known = _masks(moments)
    capped = sum(1 for mask in known if mask & SW_POWER_CAP and not mask & _SLOWED)
    return (capped / len(known) if known else 0.0), len(known)


def _crowded(moments: Sequence[Moment], card: str) -> Optional[Finding]:
    crowds = [m.reading.processes for m in moments if m.reading.processes]
    if len(crowds) < _LEAST:
        return None
    others = many(max(crowds), "process", "processes")
    return Finding(
        "co_tenant", f"Up to {others} of others computed on {card} meanwhile: end them, test again."
    )


def _narrow_link(moments: Sequence[Moment], gpu: Mapping[str, Any], card: str) -> Optional[Finding]:
    """Of a loaded card only: the link of an idle one runs slower to save power."""
    loaded = [m.reading for m in moments if (m.reading.utilization_percent or 0) >= _LOADED_PERCENT]
    for what in ("generation", "width"):
        most = gpu.get(f"pcie_{what}_max")
        values = [getattr(reading, f"pcie_{what}") for reading in loaded]
        seen = [value for value in values if value is not None]
        low = [value for value in seen if most is not None and value < most]
        if len(low) >= _LEAST and 2 * len(low) > len(seen):
            return Finding(
                "pcie_link",
                f"The PCIe link of {card} had {what} {max(low)} under load where {most} is possible:"
                " reseat the card or its riser, and see to the slot's settings.",
            )
    return None


def _replays(moments: Sequence[Moment], card: str) -> Optional[Finding]:
    counted = [m for m in moments if m.reading.pcie_replays is not None]
    if not counted:
        return None
    first, final = counted[0].reading.pcie_replays, counted[-1].reading.pcie_replays
    rise, seconds = (final or 0) - (first or 0), counted[-1].at - counted[0].at
    if rise <= _REPLAYS_A_MINUTE * max(1.0, seconds / 60):
        return None
    return Finding(
        "pcie_link",
        f"The PCIe link of {card} had to repeat {rise} packets in {seconds:.0f} s:"
        " reseat the card or its riser.",
    )


def _xid(moments: Sequence[Moment], card: str) -> Optional[Finding]:
    seen = sorted({xid for moment in moments for xid in moment.xids} - _OF_PROGRAMS)
    if not seen:
        return None
    told = ", ".join(f"XID {xid}" + (f" ({_XIDS[xid]})" if xid in _XIDS else "") for xid in seen)
    return Finding("xid", f"The driver reported errors of {card} meanwhile: {told}.")
