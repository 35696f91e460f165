"""The vault of an installation: which keys its settings give, and whether they open what is in its database."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from orchestrator.config import Settings
from orchestrator.database.session import Database
from orchestrator.runs.vault_keys import known_keys, require_keys
from orchestrator.state_folder import kept_secret, put_secret, remove_secret
from orchestrator.vault import KeyProvider, KeyRing, LocalKey, Vault
from orchestrator.vault.ring import SUFFIX
from orchestrator.vault.transit import TransitKey


async def ready_vault(settings: Settings, database: Database) -> Vault:
    """
    The vault for what is sealed in this database; no key is made for one that was used before. Raises `VaultError`
    where a key is missing, `VaultUnavailable`, `ConfigError`.
    """
    known = await known_keys(database)
    vault = Vault(ring_of(settings)) if known else open_vault(settings)
    await require_keys(database, vault)
    return vault


def open_vault(settings: Settings) -> Vault:
    """The vault with the keys of the settings; one is made where none is given. Raises `VaultError`, `ConfigError`."""
    file = sealing_file(settings)
    if file is not None and settings.vault.key_file is None:
        kept_secret(file.parent, file.name)
    return Vault(ring_of(settings))


def sealing_file(settings: Settings) -> Path | None:
    """The file of the current key; None where that is not in a file."""
    given = settings.vault
    in_file = given.key is None and given.transit_address is None
    return _key_file(settings) if in_file else None


def other_keys(settings: Settings) -> Path:
    """The folder of keys that only open."""
    return settings.vault.previous_keys_dir or settings.state_dir / "vault-keys"


def next_key(settings: Settings) -> Path:
    """The file of a key that is prepared: every process opens with it, and none seals yet."""
    return other_keys(settings) / f"next{SUFFIX}"


def prepare_key(settings: Settings) -> Path:
    """The prepared key's file, made where there is none. Raises `ConfigError`."""
    file = next_key(settings)
    return kept_secret(file.parent, file.name)


def seal_with_prepared(settings: Settings) -> None:
    """
    Have the prepared key seal and the current one only open, if there is a prepared one. Whatever interrupts this,
    both are in a place where processes look. Raises `VaultError`, `ConfigError`.
    """
    file, prepared = sealing_file(settings), next_key(settings)
    if file is None or not prepared.exists():
        return
    current, to_be = LocalKey.from_file(file), LocalKey.from_file(prepared)
    if current.key_id != to_be.key_id:
        older = other_keys(settings) / f"{current.key_id}{SUFFIX}"
        put_secret(older, file.read_text("ascii").strip())
        put_secret(file, prepared.read_text("ascii").strip())
    remove_secret(prepared)


def remove_key(settings: Settings, key_id: str) -> list[Path]:
    """Remove the files that hold this key and only open; which they were. Raises `ConfigError`, `VaultError`."""
    files = sorted(other_keys(settings).glob(f"*{SUFFIX}"))
    found = [file for file in files if LocalKey.from_file(file).key_id == key_id]
    for file in found:
        remove_secret(file)
    return found


def ring_of(settings: Settings) -> KeyRing:
    """Every key of the settings. Raises `VaultError` for a setting that holds none."""
    given = settings.vault
    # From what seals if it is there, to what only opens.
    keys: list[KeyProvider] = []
    told: list[str] = []
    if given.transit_address is not None and given.transit_token_file is not None:
        transit = TransitKey(
            *(given.transit_address, given.transit_key, given.transit_token_file),
            mount=given.transit_mount,
        )
        keys.append(transit)
        told.append(str(transit))
    if given.key is not None:
        keys.append(_local(given.key.get_secret_value(), "vault.key"))
        told.append("vault.key")
    current = keys[0] if keys else None
    for text in _parts(given.previous_keys):
        keys.append(_local(text, "vault.previous_keys"))
        told.append("vault.previous_keys")
    return KeyRing(
        current,
        older=keys,
        file=_key_file(settings),
        folder=other_keys(settings),
        told=list(dict.fromkeys(told)),
    )


def _key_file(settings: Settings) -> Path:
    return settings.vault.key_file or settings.state_dir / "vault.key"


def _local(text: str, setting: str) -> KeyProvider:
    return LocalKey.from_text(text, f"The setting {setting}")


def _parts(given: SecretStr | None) -> list[str]:
    text = given.get_secret_value() if given is not None else ""
    return [part.strip() for part in text.split(",") if part.strip()]
