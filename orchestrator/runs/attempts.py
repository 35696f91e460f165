"""
How often somebody may try to sign in or up.

Signing in is counted by account and network (strictly), by network, and by account over all networks. The last
one is for strangers: from where its owner has signed in within 30 days it does not count, so that nobody who
guesses elsewhere shuts the owner out. Counters know addresses that nobody has like any other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

from orchestrator.database import attempts
from orchestrator.database.attempts import Counter
from orchestrator.database.session import Session
from orchestrator.domain.errors import TooManyAttempts

_QUARTER_OF_AN_HOUR: Final = 900.0
_MINUTE: Final = 60.0


def signing_in(email: str, network: str) -> list[Counter]:
    """`email` is in lower case."""
    return [
        Counter(_id("account and network", email, network), 5, _QUARTER_OF_AN_HOUR),
        Counter(_id("network", network), 50, _MINUTE),
        Counter(_id("account", email), 20, _MINUTE, for_strangers=True),
    ]


def signing_up(network: str) -> list[Counter]:
    return [Counter(_id("sign-up", network), 20, _QUARTER_OF_AN_HOUR)]


async def begin(session: Session, counters: Sequence[Counter]) -> None:
    """Counted from now on. Raises `TooManyAttempts`, and nothing is counted."""
    wait = await attempts.begin(session, counters)
    if wait > 0:
        seconds = math.ceil(wait)
        raise TooManyAttempts(f"Wait {seconds} seconds.", evidence={"retry_after": seconds})


async def note_failed_sign_in(session: Session, email: str, network: str) -> None:
    await attempts.note_failed_sign_in(session, _id("log", email), email, network)


def _id(*words: str) -> bytes:
    return hashlib.sha256("\0".join(words).encode()).digest()
