"""How often a supplier may have us contact machines that may be a stranger's; the database counts (`spend_contact`)."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError

from orchestrator.domain.errors import TooManyContacts

# As the settings have them by default.
NEW_MACHINES_PER_HOUR: Final = 1000
CHECKS_PER_HOUR: Final = 120

_NONE_LEFT: Final = "HX429"


def none_left(error: DBAPIError) -> TooManyContacts | None:
    """What the database's refusal means to the supplier; None for any other error."""
    if getattr(error.orig, "sqlstate", None) != _NONE_LEFT:
        return None
    diagnostics = getattr(error.orig, "diag", None)
    seconds = int(getattr(diagnostics, "message_detail", None) or 1)
    return TooManyContacts(
        f"The next one is granted in {seconds} s.", evidence={"retry_after": seconds}
    )
