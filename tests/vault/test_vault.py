"""The vault: what is sealed opens for its row, under the keys that there are."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orchestrator.cli.vault import ring_of
from orchestrator.config import load
from orchestrator.domain.errors import HarborxError, VaultError
from orchestrator.state_folder import kept_secret, put_secret
from orchestrator.vault import Binding, KeyRing, LocalKey, Vault

SECRET = "-----BEGIN OPENSSH PRIVATE KEY----- Größe"
ROW = Binding("gpu_credentials", "ciphertext", UUID(int=1), UUID(int=2))
VAULT = Vault(bytes(32))


async def test_the_vault_opens_what_it_sealed() -> None:
    """A sealed secret opens for its row, is not in what is stored, and is never sealed twice alike."""
    one, two = await VAULT.seal(SECRET, ROW), await VAULT.seal(SECRET, ROW)
    assert await VAULT.open(one, ROW) == await VAULT.open(two, ROW) == SECRET
    assert one.ciphertext != two.ciphertext
    assert one.wrapped_key != two.wrapped_key
    assert b"PRIVATE" not in one.ciphertext + one.wrapped_key
    assert repr(VAULT) == "Vault()"
    assert repr(VAULT.ring.current()) == "LocalKey()"


@pytest.mark.parametrize(
    "other",
    [
        replace(ROW, table="api_keys"),
        replace(ROW, column="public_key"),
        replace(ROW, user_id=UUID(int=9)),
        replace(ROW, row_id=UUID(int=9)),
    ],
    ids=["table", "column", "tenant", "row"],
)
async def test_a_ciphertext_does_not_open_elsewhere(other: Binding) -> None:
    """Copied to another table, column, tenant or row, a ciphertext is refused."""
    sealed = await VAULT.seal(SECRET, ROW)
    with pytest.raises(VaultError, match="another row"):
        await VAULT.open(sealed, other)
    with pytest.raises(VaultError, match="another row"):
        await VAULT.rewrap(sealed, other)


async def test_the_parts_do_not_open_for_each_other() -> None:
    """The data key of one secret does not open another one of the same row."""
    one, two = await VAULT.seal(SECRET, ROW), await VAULT.seal("other", ROW)
    mixed = replace(one, wrapped_key=two.wrapped_key)
    with pytest.raises(VaultError):
        await VAULT.open(mixed, ROW)
    with pytest.raises(VaultError):
        await VAULT.rewrap(mixed, ROW)


async def test_another_key_is_refused_by_name() -> None:
    """Under another key nothing opens; the missing one is named without being told."""
    sealed = await VAULT.seal(SECRET, ROW)
    other = LocalKey(bytes(31) + b"\1")
    with pytest.raises(VaultError, match=f"{sealed.key_id}.*not found"):
        await Vault(KeyRing(other)).open(sealed, ROW)
    with pytest.raises(VaultError):
        await Vault(KeyRing(other)).open(replace(sealed, key_id=other.key_id), ROW)


async def test_a_rewrapped_secret_is_the_same_under_the_new_key() -> None:
    """Another key takes over the wrapped data key only; the older key is not needed after that, and was before."""
    new = LocalKey(bytes(31) + b"\1")
    sealed = await VAULT.seal(SECRET, ROW)
    taken = await Vault(KeyRing(new, older=[VAULT.ring.current()])).rewrap(sealed, ROW)
    assert (taken.key_id, taken.ciphertext) == (new.key_id, sealed.ciphertext)
    assert await Vault(KeyRing(new)).open(taken, ROW) == SECRET
    with pytest.raises(VaultError):
        await Vault(KeyRing(new)).rewrap(sealed, ROW)


async def test_a_running_process_has_a_key_that_was_rotated(tmp_path: Path) -> None:
    """Keys in files are found when they are met, and the one that seals is the file's at that moment."""
    file, folder = kept_secret(tmp_path, "vault.key"), tmp_path / "vault-keys"
    running = Vault(KeyRing(file=file, folder=folder))
    old = await running.seal(SECRET, ROW)
    prepared = kept_secret(folder, "next.key")
    early = await Vault(KeyRing(LocalKey.from_file(prepared))).seal(SECRET, ROW)
    assert await running.open(early, ROW) == SECRET
    put_secret(folder / "old.key", file.read_text().strip())
    put_secret(file, prepared.read_text().strip())
    prepared.unlink()
    assert (await running.seal(SECRET, ROW)).key_id == early.key_id != old.key_id
    assert await running.open(old, ROW) == SECRET
    assert await Vault(KeyRing(file=file, folder=folder)).open(old, ROW) == SECRET


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("part", ["ciphertext", "wrapped_key"])
async def test_an_edited_ciphertext_is_refused(part: str) -> None:
    """No byte of what is stored can be changed or cut off."""
    sealed = await VAULT.seal(SECRET, ROW)
    data: bytes = getattr(sealed, part)
    edits = [_flip(data, at) for at in range(len(data))] + [data[:-1], data[:5], b"", data + b"x"]
    for edited in edits:
        other: dict[str, Any] = {part: edited}
        changed = replace(sealed, **other)
        with pytest.raises(VaultError):
            await VAULT.open(changed, ROW)


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (base64.b64encode(bytes(32)), 0o600, None),
        (base64.b64encode(bytes(32)) + b"\n", 0o400, None),
        (base64.b64encode(bytes(32)), 0o640, "chmod 600"),
        (base64.b64encode(bytes(32)), 0o604, "chmod 600"),
        (base64.b64encode(bytes(31)), 0o600, "32 bytes"),
        (b"", 0o600, "32 bytes"),
        (b"not base64!", 0o600, "base64"),
        (b"\xff" * 44, 0o600, "can't be read"),
    ],
)
def test_the_key_file_must_be_private_and_whole(
    tmp_path: Path, content: bytes, mode: int, complaint: str | None
) -> None:
    """A key file holds 32 bytes in base64 and nobody else may read it."""
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(mode)
    if complaint is None:
        assert LocalKey.from_file(file) == VAULT.ring.current()
    else:
        with pytest.raises(VaultError, match=complaint):
            LocalKey.from_file(file)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    """Without its key file nothing is sealed under a key that nobody kept."""
    with pytest.raises(VaultError, match="nowhere"):
        KeyRing(file=tmp_path / "nowhere").current()


async def test_a_vault_reads_the_kept_key(tmp_path: Path) -> None:
    """The key that the state folder makes is one the vault takes."""
    sealed = await Vault(KeyRing(file=kept_secret(tmp_path, "vault-key"))).seal(SECRET, ROW)
    again = Vault(KeyRing(file=kept_secret(tmp_path, "vault-key")))
    assert await again.open(sealed, ROW) == SECRET


@pytest.mark.parametrize("transit", [False, True], ids=["local", "transit"])
async def test_every_source_of_a_key_is_one_ring(tmp_path: Path, transit: bool) -> None:
    """The environment, files named there, a folder and the state folder give keys; what they sealed opens."""
    texts = [base64.b64encode(bytes([n]) * 32).decode() for n in range(4)]
    (tmp_path / "older").write_text(f"{texts[1]}, {texts[2]}\n")
    put_secret(tmp_path / "vault-keys" / "a.key", texts[3])
    kept = LocalKey.from_file(kept_secret(tmp_path, "vault.key"))
    environ = {
        "HARBORX_STATE_DIR": str(tmp_path),
        "HARBORX_VAULT__KEY": texts[0],
        "HARBORX_VAULT__PREVIOUS_KEYS_FILE": str(tmp_path / "older"),
    }
    if transit:
        environ["HARBORX_VAULT__TRANSIT_ADDRESS"] = "https://vault.example:8200"
        environ["HARBORX_VAULT__TRANSIT_TOKEN_FILE"] = str(tmp_path / "token")
    ring = ring_of(load(None, environ).settings)
    for text in texts:
        key = LocalKey.from_text(text, "it")
        assert ring.holder_of(key.key_id) == key
    assert ring.holds(kept.key_id)
    assert ring.holds("transit:transit/harborx:v7") == transit
    assert ring.current().holds(LocalKey(bytes(32)).key_id) == (not transit)


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"KEY": "AAAA", "KEY_FILE": "/k"}, "not both"),
        ({"TRANSIT_ADDRESS": "https://v"}, "go together"),
        ({"TRANSIT_ADDRESS": "http://v", "TRANSIT_TOKEN_FILE": "/t"}, "transit_address"),
        ({"KEY": "short-and-secret"}, "vault.key does not hold"),
        ({"PREVIOUS_KEYS": "short-and-secret"}, "vault.previous_keys does not hold"),
    ],
)
def test_a_key_that_can_not_be_meant_is_refused(environ: dict[str, str], complaint: str) -> None:
    """Two current keys, half an address, a token in the clear and what is no key are named, without the value."""
    with pytest.raises(HarborxError, match=complaint) as caught:
        ring_of(load(None, {f"HARBORX_VAULT__{n}": value for n, value in environ.items()}).settings)
    assert "short-and-secret" not in str(caught.value)
