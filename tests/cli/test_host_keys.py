"""`harborx host-key` and `harborx host-authorities`."""

from __future__ import annotations

import psycopg
import pytest

from orchestrator.database.logins import Logins
from orchestrator.ssh.keys import fingerprint, generate_key_pair
from tests.cli.conftest import Harborx
from tests.cli.test_supplier import account

__all__ = ["account"]


def _key() -> str:
    return " ".join(generate_key_pair().public_key.split()[:2])


@pytest.mark.usefixtures("account")
def test_a_changed_host_key_is_shown_and_accepted(harborx: Harborx, logins: Logins) -> None:
    """Both fingerprints are told side by side; naming the new one takes it, and any other is refused."""
    assert harborx("onboard", "m1", "host.example").status == 0
    assert "none yet" in harborx("host-key", "m1").out
    old, new = _key(), _key()
    with psycopg.connect(logins.owner) as connection:
        connection.execute(
            "UPDATE gpu_instances SET host_key = %s, host_key_trust = 'first_contact', host_key_offered = %s",
            (old, new),
        )
    shown = harborx("host-key", "m1").out
    assert f"{fingerprint(old)} (seen at first contact, not confirmed)" in shown
    assert fingerprint(new) in shown
    wrong = harborx("host-key", "m1", "--accept", fingerprint(_key()), "--json")
    assert wrong.error["error"] == "host_key_not_offered"
    assert harborx("host-key", "m1", "--accept", "this one", "--json").status == 2
    taken = harborx("host-key", "m1", "--accept", fingerprint(new), "--json").document
    assert (taken["host_key"], taken["host_key_trust"]) == (new, "accepted")
    assert taken["host_key_offered"] is None
    assert "accepted, confirmed" in harborx("instances", "m1").out


@pytest.mark.usefixtures("account")
def test_a_host_key_is_expected(harborx: Harborx) -> None:
    """Given at onboarding or afterwards, as a fingerprint or as what ssh-keyscan prints."""
    key, another = _key(), _key()
    flags = ("--host-key", f"host.example {key}")
    assert harborx("onboard", "m1", "host.example", *flags).status == 0
    assert f"must be {fingerprint(key)}" in harborx("host-key", "m1").out
    assert harborx("host-key", "m1", "--expect", another).status == 0
    assert f"must be {fingerprint(another)}" in harborx("host-key", "m1").out
    bad = harborx("onboard", "m2", "host.example", "--host-key", "MD5:aa", "--json")
    assert (bad.status, bad.error["error"]) == (2, "invalid_input")


@pytest.mark.usefixtures("account")
def test_host_authorities_come_and_go(harborx: Harborx) -> None:
    """A line of known_hosts is taken as it is, listed, and removed by its id."""
    key = _key()
    line = f"@cert-authority *.fleet.example {key} comment"
    assert harborx("host-authorities", "add", line).status == 0
    row = harborx("host-authorities", "list", "--json").document
    assert (row["hosts"], row["fingerprint"]) == ("*.fleet.example", fingerprint(key))
    assert fingerprint(key) in harborx("host-authorities", "list").out
    assert harborx("host-authorities", "add", *line.split(), "--json").document == row
    assert harborx("host-authorities", "remove", row["id"]).status == 0
    again = harborx("host-authorities", "remove", row["id"], "--json")
    assert again.error["error"] == "not_found"
    bad = harborx("host-authorities", "add", "host.example", key, "--json")
    assert (bad.status, bad.error["error"]) == (2, "invalid_input")
