"""Data keys wrapped by HashiCorp Vault's transit engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from orchestrator.domain.errors import VaultError, VaultUnavailable
from orchestrator.vault import Binding, KeyRing, LocalKey, Vault
from orchestrator.vault import transit as transit_module
from orchestrator.vault.transit import TransitKey
from tests.vault.transit import Transit, transit_server

TOKEN = "hvs.the-token-of-this-test"
ROW = Binding("gpu_credentials", "ciphertext", UUID(int=1), UUID(int=2))
OTHER = replace(ROW, row_id=UUID(int=3))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transit]:
    monkeypatch.setattr(transit_module, "_PAUSES", (0.0, 0.0))
    with transit_server(TOKEN) as transit:
        yield transit


@pytest.fixture
def key(server: Transit, tmp_path: Path) -> TransitKey:
    (tmp_path / "token").write_text(TOKEN + "\n")
    return TransitKey(server.url, "harborx", tmp_path / "token")


async def test_a_data_key_is_wrapped_elsewhere_and_bound_to_its_row(key: TransitKey) -> None:
    """What transit wrapped opens for its row only, and the id names the version that did it."""
    vault = Vault(KeyRing(key))
    sealed = await vault.seal("a key", ROW)
    assert sealed.key_id == "transit:transit/harborx:v1"
    assert await vault.open(sealed, ROW) == "a key"
    edited = sealed.wrapped_key[:-4] + b"AAA="
    for changed, row in ((sealed, OTHER), (replace(sealed, wrapped_key=edited), ROW)):
        with pytest.raises(VaultError, match="another row"):
            await vault.open(changed, row)


async def test_versions_and_local_keys_are_taken_over(server: Transit, key: TransitKey) -> None:
    """A newer version, or transit after a file, takes over what was sealed before; both open meanwhile."""
    local = LocalKey(bytes(32))
    vault = Vault(KeyRing(key, older=[local]))
    filed = await Vault(KeyRing(local)).seal("from a file", ROW)
    first = await vault.seal("of version 1", ROW)
    server.rotate()
    for sealed, secret in ((filed, "from a file"), (first, "of version 1")):
        assert await vault.open(sealed, ROW) == secret
        taken = await vault.rewrap(sealed, ROW)
        assert taken.key_id == "transit:transit/harborx:v2"
        assert await Vault(KeyRing(key)).open(taken, ROW) == secret


async def test_a_moment_of_trouble_is_waited_out(server: Transit, key: TransitKey) -> None:
    """A standby, a sealed server and a rate limit are tried again; one that stays away is named as such."""
    server.statuses = [503, 429]
    assert (await Vault(KeyRing(key)).seal("x", ROW)).key_id.endswith(":v1")
    server.statuses = [503, 500, 503]
    with pytest.raises(VaultUnavailable, match="503"):
        await Vault(KeyRing(key)).seal("x", ROW)
    away = replace(key, address="http://127.0.0.1:1")
    with pytest.raises(VaultUnavailable, match="ConnectionRefusedError"):
        await Vault(KeyRing(away)).seal("x", ROW)


async def test_a_refusal_is_told_without_the_token(server: Transit, key: TransitKey) -> None:
    """A token that is refused, and a file without one, are named by their file."""
    key.token_file.write_text("hvs.another")
    with pytest.raises(VaultError, match=r"refuses the token in .*token") as caught:
        await Vault(KeyRing(key)).seal("x", ROW)
    assert "hvs.another" not in str(caught.value)
    assert len(server.asked) == 1
    key.token_file.write_text("a\r\nX-Evil: b")
    with pytest.raises(VaultError, match="holds none"):
        await Vault(KeyRing(key)).seal("x", ROW)
