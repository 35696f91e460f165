"""A figure beside the result: what was measured, how exactly, and under which conditions."""

import hashlib
import json
from typing import Any, Dict, NamedTuple, Optional

_HASH_DIGITS = 16


class Figure(NamedTuple):
    """
    `low` and `high` bound `value` with 95 % confidence. `gpu_index` is None for the whole machine's.

    `configuration` holds every condition that a comparison must hold fixed, as plain values: only
    figures with one `hash_of` it may be ranked. `detail` is for the reader. A `value` of None says that
    it could not be measured, and `detail` why.
    """

    name: str
    value: Optional[float]
    unit: str
    low: Optional[float] = None
    high: Optional[float] = None
    gpu_index: Optional[int] = None
    configuration: Dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    detail: Dict[str, Any] = {}  # noqa: RUF012


def hash_of(configuration: Dict[str, Any]) -> str:
    """16 hex digits of SHA-256 over the configuration as canonical JSON (sorted, no spaces, ASCII)."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_HASH_DIGITS]


def as_event(figure: Figure) -> Dict[str, Any]:
    """The fields of the event `metric`; a figure without conditions has no hash to be compared by."""
    fields = figure._asdict()
    fields["configuration_hash"] = hash_of(figure.configuration) if figure.configuration else None
    return fields
