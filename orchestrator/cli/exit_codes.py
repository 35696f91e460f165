"""
What the exit status of a command means.

    0 passed, or done    1 error            2 usage          3 test failed   4 machine unreachable
    5 host key changed   6 login refused    7 cancelled      8 timed out     9 inconclusive
    130 interrupted (Ctrl-C; a run that was being watched goes on)
"""

from __future__ import annotations

from typing import Final

OK: Final = 0
ERROR: Final = 1
USAGE: Final = 2
TEST_FAILED: Final = 3
CANCELLED: Final = 7
INCONCLUSIVE: Final = 9

# Codes that say more than the state a run ended in. All other codes follow the state.
_BY_CODE: Final = {
    "host_unreachable": 4,
    "address_forbidden": 4,
    "connection_lost": 4,
    "host_key_changed": 5,
    "login_refused": 6,
    "credential_unusable": 6,
    "agent_timed_out": 8,
    "invalid_input": USAGE,
}
_BY_STATE: Final = {
    "passed": OK,
    "failed": TEST_FAILED,
    "inconclusive": INCONCLUSIVE,
    "cancelled": CANCELLED,
}


def status_of_run(state: str, error_code: str | None) -> int:
    """The exit status for a run that ended in `state`; a run that has not ended is an error."""
    by_state = _BY_STATE.get(state, ERROR)
    if by_state in (TEST_FAILED, INCONCLUSIVE):
        return _BY_CODE.get(error_code or "", by_state)
    return by_state


def status_of_error(code: str) -> int:
    """The exit status for a command that could not do its work."""
    return _BY_CODE.get(code, ERROR)
