"""All behaviours by name."""

from __future__ import annotations

from typing import Final

from bench.attacks.hostile.machines import above, answers, below, speech
from bench.attacks.hostile.machines.behaviour import Behaviour

BEHAVIOURS: Final[dict[str, Behaviour]] = {
    each.name: each
    for each in (
        *below.behaviours(),
        *above.behaviours(),
        *answers.behaviours(),
        *speech.behaviours(),
    )
}
