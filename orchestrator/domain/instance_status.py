"""What the end of a test means for its instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.domain.errors import AddressForbidden, HostUnreachable
from orchestrator.domain.run_states import RunState

# Codes of runs that never reached their machine.
UNREACHED: Final = frozenset({HostUnreachable.code, AddressForbidden.code})


@dataclass(frozen=True)
class InstanceStatus:
    status: str  # pending | testing | active | failed | offline
    test_status: str  # not_started | running | completed | failed


def after_run(state: RunState, error_code: str | None, before: InstanceStatus) -> InstanceStatus:
    """
    The instance's status after a run that ended in `state`.

    What could not be measured proves nothing: `before` is restored.
    """
    if state is RunState.PASSED:
        return InstanceStatus("active", "completed")
    if state is RunState.FAILED:
        return InstanceStatus("offline" if error_code in UNREACHED else "failed", "failed")
    return before
