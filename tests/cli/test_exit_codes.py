"""Exit statuses: what scripts branch on."""

from __future__ import annotations

import pytest

from orchestrator.cli.exit_codes import status_of_error, status_of_run
from orchestrator.domain.errors import RunError, catalogue

_OWN = {
    "host_unreachable": 4,
    "address_forbidden": 4,
    "connection_lost": 4,
    "host_key_changed": 5,
    "login_refused": 6,
    "credential_unusable": 6,
    "agent_timed_out": 8,
}
_BY_ENDING = {"failed": 3, "inconclusive": 9, "cancelled": 7}
_ENDINGS = {code: error for code, error in catalogue().items() if issubclass(error, RunError)}


@pytest.mark.parametrize("code", sorted(_ENDINGS))
def test_every_code_that_ends_a_run_has_its_status(code: str) -> None:
    """Connecting, host key, login and deadline have statuses of their own; all else follows the state."""
    ending = _ENDINGS[code].ending
    assert status_of_run(ending, code) == _OWN.get(code, _BY_ENDING[ending])


@pytest.mark.parametrize(
    ("state", "code", "status"),
    [
        ("passed", None, 0),
        ("cancelled", None, 7),
        ("cancelled", "host_unreachable", 7),
        ("failed", "code_of_a_newer_program", 3),
        ("inconclusive", "code_of_a_newer_program", 9),
        ("running", None, 1),
    ],
)
def test_states_without_a_code(state: str, code: str | None, status: int) -> None:
    """Passed is 0, cancelled is 7 whatever else was wrong, an unknown code follows the state."""
    assert status_of_run(state, code) == status


@pytest.mark.parametrize(
    ("code", "status"),
    [("invalid_input", 2), ("not_found", 1), ("config_invalid", 1), ("credential_unusable", 6)],
)
def test_commands_that_could_not_work(code: str, status: int) -> None:
    """Bad input is a usage error; a key that can't be used says login; the rest is 1."""
    assert status_of_error(code) == status
