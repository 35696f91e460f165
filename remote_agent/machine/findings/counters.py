"""Findings from a card's own counters, read before and after a measurement."""

from typing import List, Mapping, Optional, Union

from remote_agent.machine.findings.finding import Finding, many, there
from remote_agent.machine.health import Health, changes

_SHARE = 0.01
_IMPOSSIBLE_SHARE = 1.1  # of the time: such a counter does not count what it should
_FLAGS = {
    "remap_failure": "a faulty row of its memory could not be replaced: the card has to be replaced",
    "remap_pending": "a faulty row of its memory waits to be replaced: reset the card",
    "retired_pages_pending": "faulty pages of its memory wait to be retired: reset the card",
}


def of_health(before: Optional[Health], after: Optional[Health], card: int = 0) -> List[Finding]:
    """
    What the counters say that were read before and after. Codes: throttled, ecc_errors.

    Memory that waits to be repaired counts even where that is older than the measurement.
    """
    rise = changes(before, after)
    return there([_hot(rise, card), _memory_errors(rise, after, card)])


def _hot(rise: Mapping[str, Union[int, float]], card: int) -> Optional[Finding]:
    seconds, all_seconds = rise.get("thermal_violation_seconds", 0), rise.get("at", 0)
    if not _SHARE * all_seconds < seconds <= _IMPOSSIBLE_SHARE * all_seconds:
        return None
    return Finding(
        "throttled",
        f"The heat of card {card} held its clocks down for {seconds:.1f} of {all_seconds:.1f} s:"
        " see to its cooling.",
    )


def _memory_errors(
    rise: Mapping[str, Union[int, float]], after: Optional[Health], card: int
) -> Optional[Finding]:
    uncorrected = _most(rise, "ecc_uncorrected_volatile", "ecc_uncorrected_aggregate")
    corrected = _most(rise, "ecc_corrected_volatile", "ecc_corrected_aggregate")
    if uncorrected:
        told = many(uncorrected, "error that could", "errors that could")
        message = f"The memory of card {card} had {told} not be corrected: replace the card."
        return Finding("ecc_errors", message)
    for flag, words in _FLAGS.items():
        if after is not None and getattr(after, flag):
            return Finding("ecc_errors", f"Card {card} reports that {words}.")
    if corrected:
        told = many(corrected, "error", "errors")
        message = f"The memory of card {card} corrected {told} meanwhile: keep an eye on it."
        return Finding("ecc_errors", message)
    return None


def _most(rise: Mapping[str, Union[int, float]], *names: str) -> int:
    return int(max(rise.get(name, 0) for name in names))
