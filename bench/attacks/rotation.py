"""
Secrets taken over by a new key while they are read and new ones are stored, by a command that is killed again and again; and
secrets that are swapped between rows or edited.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from bench.attacks import sealed_rows
from bench.attacks.ground import PASSWORD, Ground
from bench.attacks.record import Played
from bench.attacks.sealed_rows import Stored
from orchestrator.cli.vault import open_vault, ring_of
from orchestrator.config import Settings, load
from orchestrator.database import credentials, instances
from orchestrator.database.logins import Logins
from orchestrator.database.session import SERVICE, Database, supplier
from orchestrator.domain.errors import HarborxError
from orchestrator.runs.login_keys import open_credential
from orchestrator.runs.request import onboard
from orchestrator.runs.vault_keys import known_keys, require_keys
from orchestrator.vault import KeyRing, LocalKey, Vault

_READERS: Final = 3
_KILLS: Final = 3  # and one more for every 2,000 secrets
_PROGRESS: Final = re.compile(rb"(\d+) of (\d+) taken over")
_WRITES_A_SECOND: Final = 20


@dataclass
class House:
    """`stored` is what was sealed, by the credential's id, with the secret that has to come out."""

    logins: Logins
    settings: Settings
    api: Database
    worker: Database
    stored: list[Stored]
    reads: int = 0
    writes: int = 0
    wrong: list[str] = field(default_factory=list)

    def process(self) -> Vault:
        """The vault of one more process, which knows what lies in the files."""
        return Vault(ring_of(self.settings))


async def play(ground: Ground, count: int, seed: int) -> Played:
    dice = random.Random(seed)
    async with house_of(ground, count, dice) as house:
        kills, effective = await rotate_under_load(house, _KILLS + count // 2000, dice)
        stranded = await _stranded(house)
        opened = await swap(house, count, dice)
    return Played(
        attempted=count,
        must_be_zero={"failed_reads": len(house.wrong), "stranded": stranded, "swapped": opened},
        figures={
            "reads": house.reads,
            "writes": house.writes,
            "kills": kills,
            "kills_in_the_middle": effective,
            "swaps_and_edits": count,
        },
        missed=() if house.reads and effective else ("No kill or no read hit the rotation.",),
        sentences=tuple(house.wrong),
    )


@asynccontextmanager
async def house_of(ground: Ground, count: int, dice: random.Random) -> AsyncIterator[House]:
    """A database with `count` secrets of several suppliers, sealed under a key in a state folder."""
    folder = ground.folder / f"rotation-{dice.randrange(10**9)}"
    with ground.database() as logins:
        flags = {"state_dir": str(folder), "database": {"url": logins.owner}}
        settings = load(None, {}, flags).settings
        api, worker = Database(logins.api, pool_size=2), Database(logins.worker, pool_size=4)
        vault = open_vault(settings)
        try:
            await require_keys(worker, vault)
            stored = await sealed_rows.store(logins, vault, count)
            yield House(logins, settings, api, worker, stored)
        finally:
            await api.close()
            await worker.close()
            shutil.rmtree(folder, ignore_errors=True)


async def rotate_under_load(
    house: House, kills: int, dice: random.Random, mutation: str = ""
) -> tuple[int, int]:
    """Rotate to the end through `kills` kills, with reads and writes all the time; kills, and those with work left."""
    over = asyncio.Event()
    load = [
        asyncio.create_task(_read(house, random.Random(dice.random()), over))
        for _ in range(_READERS)
    ]
    load.append(asyncio.create_task(_write(house, over)))
    effective = 0
    try:
        for number in range(kills):
            killed = await _rotate(house, mutation, dice, kill_after=dice.randrange(4))
            effective += killed and await _left(house) > 0
            print(f"rotation: kill {number + 1} of {kills}", file=sys.stderr, flush=True)
        await _rotate(house, mutation, dice, kill_after=None)
    finally:
        over.set()
        await asyncio.gather(*load)
    return kills, effective


async def swap(house: House, count: int, dice: random.Random) -> int:
    """Rows whose sealed columns are another's, or edited; how many opened all the same."""
    vault = house.process()
    rows = sealed_rows.read(house.logins)
    opened = 0
    for _ in range(count):
        one, other = dice.sample(rows, 2)
        changed = sealed_rows.spoiled(one, other, dice)
        try:
            await open_credential(vault, None, changed, "swap")
        except HarborxError:
            continue
        opened += 1
    return opened + await _swap_in_place(house, vault, dice)


async def _swap_in_place(house: House, vault: Vault, dice: random.Random) -> int:
    """Two suppliers' rows swapped in the database itself, and read as a worker does."""
    one, other = dice.sample(house.stored, 2)
    with psycopg.connect(house.logins.owner) as connection:
        connection.execute(
            "UPDATE gpu_credentials a SET (key_id, wrapped_key, ciphertext) ="
            " (SELECT key_id, wrapped_key, ciphertext FROM gpu_credentials b"
            "  WHERE b.id = CASE a.id WHEN %(one)s THEN %(other)s ELSE %(one)s END)"
            " WHERE a.id IN (%(one)s, %(other)s)",
            {"one": one.credential_id, "other": other.credential_id},
        )
    opened = 0
    for each in (one, other):
        try:
            await _open(house, vault, each.instance_id)
            opened += 1
        except HarborxError:
            pass
    return opened


async def _rotate(house: House, mutation: str, dice: random.Random, kill_after: int | None) -> bool:
    """The command as a process; killed after it has told so many batches (0: somewhere before the first). Whether it was."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.attacks.mutated", mutation, "keys", "rotate"),
        env=_environment(house),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    if kill_after == 0:
        await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=dice.uniform(0.3, 2.0))
    told, said = 0, b""
    while kill_after != 0 and (line := await process.stderr.readline()):
        said += line
        told += bool(_PROGRESS.search(line))
        if kill_after is not None and told >= kill_after:
            break
    if kill_after is not None and process.returncode is None:
        process.kill()
    status = await process.wait()
    if kill_after is None and status != 0:
        house.wrong.append(f"rotate ended with {status}: {said[-300:].decode(errors='replace')}")
    return status < 0


async def _read(house: House, dice: random.Random, over: asyncio.Event) -> None:
    """As a worker that logs in; now and then it is another process. The last read begins when all is over."""
    vault, last = house.process(), False
    while not last:
        last = over.is_set()
        if dice.random() < 0.01:
            vault = house.process()
        each = dice.choice(house.stored)
        try:
            secret = await _open(house, vault, each.instance_id)
            if each.secret not in (None, secret):
                house.wrong.append("Another secret came out.")
        except HarborxError as error:
            house.wrong.append(f"A read failed: {error}")
        house.reads += 1


async def _write(house: House, over: asyncio.Event) -> None:
    """As an API, for ever: each supplier onboards new machines, whose keys we make."""
    vault = house.process()
    while not over.is_set():
        owner = house.stored[house.writes % len(house.stored)].user_id
        claims = {"vast_instance_id": f"new-{house.writes}", "ssh_host": "host.example"}
        try:
            onboarded = await onboard(house.api, vault, supplier(owner), claims)
            house.stored.append(Stored(onboarded.instance.id, onboarded.instance.id, owner, None))
        except HarborxError as error:
            house.wrong.append(f"A write failed: {error}")
        house.writes += 1
        await asyncio.sleep(1 / _WRITES_A_SECOND)


async def _open(house: House, vault: Vault, instance_id: UUID) -> str:
    async with house.worker.transaction(SERVICE) as session:
        instance = await instances.get(session, instance_id)
        stored = await credentials.sealed(session, instance)
    if stored is None:
        raise AssertionError("each instance has a login of its own")
    return (await open_credential(vault, None, stored, "read")).private_key


async def _left(house: House) -> int:
    current = house.process().ring.current()
    return sum(key.rows for key in await known_keys(house.worker) if not current.holds(key.key_id))


async def _stranded(house: House) -> int:
    """Rows that the new key alone does not open, when all is over."""
    file = house.settings.state_dir / "vault.key"
    vault = Vault(KeyRing(LocalKey.from_file(file)))
    stranded = 0
    for row in sealed_rows.read(house.logins):
        try:
            await open_credential(vault, None, row, "after")
        except HarborxError:
            stranded += 1
    return stranded


def _environment(house: House) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(house.settings.state_dir),
        "NO_COLOR": "1",
        "HARBORX_STATE_DIR": str(house.settings.state_dir),
        "HARBORX_DATABASE__URL": house.logins.owner,
        "HARBORX_DATABASE__API_PASSWORD": PASSWORD,
        "HARBORX_DATABASE__WORKER_PASSWORD": PASSWORD,
    }
