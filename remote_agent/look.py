"""`look`: which Python runs here, and what the machine is; nothing is started and nothing is left."""

import json
import platform
from typing import Any, Dict, List

from remote_agent.machine import probe
from remote_agent.output import Answers

_MOST_BYTES = 3900  # an answer has at most 4096, its marker among them
_CARD = (
    "index",
    "name",
    "uuid",
    "memory_total_gb",
    "compute_capability",
    "mig_enabled",
    "processes",
)


def look(marker: str) -> int:
    """
    Answers `python` and its version at once, then `look` and the probe as JSON, shortened to fit into one
    answer; or `failed` with a reason. Returns 0.
    """
    answers = Answers(marker)
    try:
        answers.say(f"python {platform.python_version()}")
        try:
            answers.say(f"look {shortened(probe.probe())}")
        except BrokenPipeError:
            raise
        except Exception as error:
            answers.say(f"failed {type(error).__name__}: {error}")
    except BrokenPipeError:
        pass  # nobody waits for the answer
    return 0


def shortened(found: Dict[str, Any]) -> str:
    """
    The probe as ASCII JSON of one answer's length: of a card what tells which it is, then without the last of
    the longer list until it fits. `gpu_count` stays the machine's.
    """
    cards: List[Any] = [_without_nulls(card) for card in found["gpus"]]
    installs: List[Any] = list(found["torch_installs"])
    while True:
        text = _json({**found, "gpus": cards, "torch_installs": installs})
        if len(text) <= _MOST_BYTES or not (cards or installs):
            return text
        longer = cards if len(_json(cards)) > len(_json(installs)) else installs
        longer.pop()


def _without_nulls(card: Dict[str, Any]) -> Dict[str, Any]:
    return {name: card[name] for name in _CARD if card.get(name) is not None}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
