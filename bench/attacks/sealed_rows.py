"""Many sealed logins at once, and the ways to spoil one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import psycopg

from orchestrator.database.logins import Logins
from orchestrator.database.models import Credential
from orchestrator.runs.login_keys import credential_binding
from orchestrator.vault import Vault

_SUPPLIERS: Final = 20


@dataclass(frozen=True)
class Stored:
    """A login on record; `secret` is None where we don't know what it is."""

    credential_id: UUID
    instance_id: UUID
    user_id: UUID
    secret: str | None


async def store(logins: Logins, vault: Vault, count: int) -> list[Stored]:
    """`count` instances with a login each, of several suppliers."""
    users = [uuid4() for _ in range(_SUPPLIERS)]
    stored = [
        Stored(uuid4(), uuid4(), users[number % _SUPPLIERS], f"the secret of number {number}")
        for number in range(count)
    ]
    with psycopg.connect(logins.owner) as connection, connection.cursor() as cursor:
        for number, user in enumerate(users):
            cursor.execute(
                "INSERT INTO profiles (id, email) VALUES (%s, %s)", (user, f"{number}@example.com")
            )
        with cursor.copy(
            "COPY gpu_instances (id, user_id, vast_instance_id, ssh_host) FROM STDIN"
        ) as copy:
            for each in stored:
                copy.write_row((each.instance_id, each.user_id, str(each.instance_id), "h"))
        with cursor.copy(
            "COPY gpu_credentials (id, user_id, instance_id, kind, public_key, fingerprint, key_id,"
            " wrapped_key, ciphertext) FROM STDIN"
        ) as copy:
            for each in stored:
                binding = credential_binding(each.user_id, each.credential_id)
                sealed = await vault.seal(each.secret or "", binding)
                owner = (each.credential_id, each.user_id, each.instance_id)
                columns = (sealed.key_id, sealed.wrapped_key, sealed.ciphertext)
                copy.write_row((*owner, "generated", "ssh-ed25519 A", "SHA256:a", *columns))
    return stored


def read(logins: Logins) -> list[Credential]:
    """Every login as it is in the database."""
    with psycopg.connect(logins.owner) as connection:
        rows = connection.execute(
            "SELECT id, user_id, instance_id, kind, public_key, fingerprint, key_id, wrapped_key,"
            " ciphertext FROM gpu_credentials ORDER BY id"
        ).fetchall()
    names = (
        *("id", "user_id", "instance_id", "kind", "public_key", "fingerprint"),
        *("key_id", "wrapped_key", "ciphertext"),
    )
    return [Credential(**dict(zip(names, row, strict=True))) for row in rows]


def spoiled(row: Credential, other: Credential, dice: random.Random) -> Credential:
    """The row with what is another's, or with a byte or so changed."""
    changed = row.model_copy()
    kind = dice.choice(("all", "all", "ciphertext", "wrapped_key", "flip", "cut", "owner", "id"))
    part = dice.choice(("ciphertext", "wrapped_key"))
    data = bytearray(getattr(row, part))
    if kind == "all":
        changed.key_id, changed.wrapped_key = other.key_id, other.wrapped_key
        changed.ciphertext = other.ciphertext
    elif kind in ("ciphertext", "wrapped_key"):
        setattr(changed, kind, getattr(other, kind))
    elif kind == "flip":
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        setattr(changed, part, bytes(data))
    elif kind == "cut":
        setattr(changed, part, bytes(data[: dice.randrange(len(data))]))
    elif kind == "owner":  # the same row, said to be another supplier's
        changed.user_id = UUID(int=dice.getrandbits(128))
    else:
        changed.id = other.id
    return changed
