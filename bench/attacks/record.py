"""What an attack came to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.attacks.ground import Ground


@dataclass(frozen=True)
class Played:
    """
    `attempted` counts what was tried. `must_be_zero` holds what got through, by the names of the last line (leaks, forged,
    packets, auth_bytes, 5xx, ...); `missed` what a bound was exceeded by, a sentence each; `figures` what else was measured;
    `sentences` what got through, one each, to be read by people.
    """

    attempted: int
    must_be_zero: Mapping[str, int]
    figures: Mapping[str, Any] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Something was tried, nothing got through, no bound was exceeded."""
        return self.attempted > 0 and not any(self.must_be_zero.values()) and not self.missed


Play = Callable[[Ground, int, int], Coroutine[Any, Any, Played]]
"""An attack: where, how many, and the seed of its choices."""
