"""The vault's keys: rotated by command, asked for before a process begins, thrown away when nothing needs them."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from orchestrator.cli import vault
from orchestrator.config import load
from orchestrator.database.logins import Logins
from orchestrator.state_folder import kept_secret
from orchestrator.vault import LocalKey
from tests.cli.conftest import Harborx
from tests.cli.stories import Storyteller


@pytest.fixture
def state(environment: Path, story: Storyteller) -> Path:
    """The state folder; one login, of `m1`, is sealed under its key."""
    return environment / "state"


def _key(file: Path) -> str:
    return LocalKey.from_file(file).key_id


def _states(harborx: Harborx) -> dict[str, tuple[str, int]]:
    return {
        each["key"]: (each["state"], each["logins"])
        for each in harborx("keys", "status", "--json").documents
    }


def test_a_key_is_rotated_and_the_old_one_thrown_away(harborx: Harborx, state: Path) -> None:
    """One command makes a key and takes everything over; the old key opens until it is retired, and then is gone."""
    old = _key(state / "vault.key")
    assert harborx("keys", "rotate", "--dry-run", "--json").document == {
        "makes_a_key": True,
        "to_take_over": 1,
    }
    refused = harborx("keys", "retire", old, "--json")
    assert (refused.status, refused.error["error"]) == (2, "invalid_input")
    rotated = harborx("keys", "rotate", "--json").document
    new = _key(state / "vault.key")
    assert rotated == {"key": new, "done": 1, "refused": [], "over": [old]}
    assert _states(harborx) == {old: ("opens", 0), new: ("seals", 1)}
    assert harborx("keys", "rotate", "--finish", "--json").document["done"] == 0
    removed = harborx("keys", "retire", old, "--json").document["removed"]
    assert removed == [str(state / "vault-keys" / f"{old}.key")]
    assert list((state / "vault-keys").iterdir()) == []
    assert _states(harborx) == {old: ("retired", 0), new: ("seals", 1)}


def test_a_prepared_key_opens_elsewhere_before_it_seals(
    harborx: Harborx, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several machines the new key is copied first; each machine then rotates, and none is without a key."""
    prepared = Path(harborx("keys", "rotate", "--prepare", "--json").document["prepared"])
    assert harborx("keys", "rotate", "--prepare", "--json").document["prepared"] == str(prepared)
    other = tmp_path / "other"
    shutil.copytree(state, other)
    to_be = _key(prepared)
    assert harborx("keys", "rotate", "--json").document["key"] == to_be
    monkeypatch.setenv("HARBORX_STATE_DIR", str(other))
    assert harborx("onboard", "m2", "198.51.100.8").status == 0  # still under the old key
    rotated = harborx("keys", "rotate", "--json").document
    assert (rotated["key"], rotated["done"]) == (to_be, 1)
    assert _key(other / "vault.key") == _key(state / "vault.key") == to_be


def test_a_retired_key_seals_nothing(
    harborx: Harborx, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was forgotten can't begin under the old key, and no row gets in under it."""
    old = tmp_path / "old"
    shutil.copytree(state, old)
    key = _key(state / "vault.key")
    assert harborx("keys", "rotate").status == 0
    assert harborx("keys", "retire", key).status == 0
    shutil.copy(state / "vault.key", old / "new.key")
    monkeypatch.setenv("HARBORX_STATE_DIR", str(old))
    forgotten = harborx("onboard", "m2", "198.51.100.8", "--json")
    assert (forgotten.status, forgotten.error["error"]) == (1, "vault_error")
    monkeypatch.setenv("HARBORX_VAULT__PREVIOUS_KEYS_DIR", str(old))
    knowing = harborx("onboard", "m2", "198.51.100.8", "--json")
    assert knowing.status == 1
    assert "is retired" in knowing.error["message"]


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("worker",), ("onboard", "m2", "h")])
def test_nothing_begins_without_the_key(
    harborx: Harborx, state: Path, words: tuple[str, ...]
) -> None:
    """Beside a database with secrets no new key is made: the missing one is named, and where it was looked for."""
    key = _key(state / "vault.key")
    (state / "vault.key").rename(state / "elsewhere")
    refused = harborx(*words, "--json")
    assert (refused.status, refused.error["error"]) == (1, "vault_error")
    for named in (str(state / "vault.key"), key):
        assert named in refused.error["message"]
    assert not (state / "vault.key").exists()
    kept_secret(state, "vault.key")  # as somebody might help oneself
    refused = harborx(*words, "--json")
    assert (refused.status, refused.error["error"]) == (1, "vault_error")
    assert "a new one would not open" in refused.error["message"]


def test_a_key_on_record_is_asked_for_without_any_row(
    harborx: Harborx, state: Path, logins: Logins
) -> None:
    """A second installation with a key of its own is refused before it has sealed anything the first can't open."""
    with psycopg.connect(logins.owner) as connection:
        connection.execute("DELETE FROM gpu_credentials")
    (state / "vault.key").unlink()
    kept_secret(state, "vault.key")
    refused = harborx("onboard", "m2", "h", "--json")
    assert (refused.status, refused.error["error"]) == (1, "vault_error")


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_switch_loses_no_key(
    harborx: Harborx, state: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Whichever step the switch to a prepared key was stopped behind, both keys are found, and it can be done again."""
    settings = load(None, {"HARBORX_STATE_DIR": str(state)}).settings
    old, new = _key(state / "vault.key"), _key(vault.prepare_key(settings))
    steps = 0

    def stopped(name: str) -> None:
        step = getattr(vault, name)

        def counted(*given: object) -> None:
            nonlocal steps
            if steps == after:
                raise KeyboardInterrupt
            steps += 1
            step(*given)

        monkeypatch.setattr(vault, name, counted)

    with monkeypatch.context():
        stopped("put_secret")
        stopped("remove_secret")
        with pytest.raises(KeyboardInterrupt):
            vault.seal_with_prepared(settings)
        monkeypatch.undo()
    ring = vault.ring_of(settings)
    assert ring.holds(old)
    assert ring.holds(new)
    vault.seal_with_prepared(settings)
    assert vault.ring_of(settings).current().holds(new)
    assert vault.ring_of(settings).holds(old)


def test_a_row_that_does_not_open_is_told_and_left(
    harborx: Harborx, state: Path, logins: Logins
) -> None:
    """A damaged row keeps nothing else from being taken over, and does not pass for one that was."""
    assert harborx("onboard", "m2", "198.51.100.8").status == 0
    with psycopg.connect(logins.owner) as connection:
        connection.execute(
            "UPDATE gpu_credentials SET ciphertext = ciphertext || '\\x00' WHERE ctid ="
            " (SELECT min(ctid) FROM gpu_credentials)"
        )
    old = _key(state / "vault.key")
    rotated = harborx("keys", "rotate", "--json")
    assert rotated.status == 1
    assert rotated.document["done"] == 1
    assert len(rotated.document["refused"]) == 1
    assert _states(harborx)[old] == ("opens", 1)
    kept = harborx("keys", "retire", old, "--json")
    assert "still opens 1 rows" in kept.error["message"]
