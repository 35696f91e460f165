"""`harborx keys rotate`, `status`, `retire`: the vault's keys, under which logins are sealed in the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.call import Call, command
from orchestrator.cli.keys import keys

if TYPE_CHECKING:
    from orchestrator.cli.desk import Desk
    from orchestrator.database.vault_keys import KnownKey
    from orchestrator.vault import Vault

app = typer.Typer()


@command(keys, "rotate")
def rotate(
    call: Call,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare", help="Only make the new key, to copy it to other machines first."
        ),
    ] = False,
    finish: Annotated[
        bool,
        typer.Option("--finish", help="Make no key: take over what is not under the current one."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """
    Seal under a new vault key from now on, and take over what older ones sealed, while everything runs.

    Stopped at any point, run it again. With several machines: `--prepare` on one, copy next.key to the folder of
    previous keys of every other API and worker, then rotate on each.
    """
    if prepare and finish:
        raise typer.BadParameter("--prepare makes a key and --finish makes none.")
    asyncio.run(_rotate(call, prepare, finish, dry_run))


@command(keys, "status")
def status(call: Call) -> None:
    """Which vault keys are in use, how much is sealed under each, and whether this machine has them."""
    asyncio.run(_status(call))


@command(keys, "retire")
def retire(
    call: Call,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `keys status` shows it.")],
) -> None:
    """Throw a vault key away for good, once nothing is sealed under it: no server seals with it after that."""
    asyncio.run(_retire(call, key))


async def _rotate(call: Call, prepare: bool, finish: bool, dry_run: bool) -> None:
    from orchestrator.cli import vault as own
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put, put_json, say

    async with open_desk(call) as desk:
        vault = await own.ready_vault(desk.settings, desk.worker)
        makes = await _makes_a_key(desk, vault, prepare, finish)
        if dry_run:
            await _tell_plan(call, desk, vault, makes)
            return
        if makes:
            own.prepare_key(desk.settings)
        if prepare:
            file = str(own.next_key(desk.settings))
            if call.json:
                put_json({"prepared": file})
                return
            say("Copy this file to the folder of previous keys of every other API and worker:")
            put(file)
            say("Then run `harborx keys rotate` on each machine.")
            return
        await asyncio.to_thread(own.seal_with_prepared, desk.settings)
        await _take_over(call, desk, vault)


async def _makes_a_key(desk: Desk, vault: Vault, prepare: bool, finish: bool) -> bool:
    """What was begun is finished before another key is made. Raises `InvalidInput` where none can be."""
    from orchestrator.cli.vault import next_key, sealing_file
    from orchestrator.domain.errors import InvalidInput

    others = [key for key in await _known(desk) if key.rows and not _seals(vault, key)]
    if finish or next_key(desk.settings).exists() or (others and not prepare):
        return False
    if sealing_file(desk.settings) is not None:
        return True
    if prepare:
        raise InvalidInput(
            "The current key is not in a file: set a new one where it comes from, the old one in"
            " vault.previous_keys, on every machine; then run this with --finish."
        )
    return False


async def _take_over(call: Call, desk: Desk, vault: Vault) -> None:
    from orchestrator.cli.output import put_json, say
    from orchestrator.domain.errors import VaultError
    from orchestrator.runs import vault_keys

    total = sum(key.rows for key in await _known(desk) if not _seals(vault, key))

    def told(done: int) -> None:
        if not call.json:
            say(f"{done} of {max(done, total)} taken over.")

    rotation = await vault_keys.rotate(desk.worker, vault, told)
    over = [
        key.key_id
        for key in await _known(desk)
        if not key.rows and key.retired_at is None and key.key_id != rotation.key_id
    ]
    if call.json:
        refused = [
            {"table": each.table, "id": str(each.row_id), "reason": each.reason}
            for each in rotation.refused
        ]
        put_json({"key": rotation.key_id, "done": rotation.done, "refused": refused, "over": over})
    else:
        say(f"Everything is sealed under key {rotation.key_id}; {rotation.done} were taken over.")
        for key_id in over:
            say(
                f"Nothing is under key {key_id} any more. When every API and worker seals under the new one,"
                f" throw it away: harborx keys retire {key_id}"
            )
    if rotation.refused:
        first = rotation.refused[0]
        raise VaultError(
            f"{len(rotation.refused)} rows stay as they are; the first is {first.row_id} of {first.table}: {first.reason}"
        )


async def _tell_plan(call: Call, desk: Desk, vault: Vault, makes: bool) -> None:
    from orchestrator.cli.output import put_json, put_pairs

    known = await _known(desk)
    rows = sum(key.rows for key in known if makes or not _seals(vault, key))
    if call.json:
        put_json({"makes_a_key": makes, "to_take_over": rows})
        return
    put_pairs([("a new key", "is made" if makes else "is not made"), ("to take over", str(rows))])


async def _status(call: Call) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, put_table
    from orchestrator.cli.vault import ring_of
    from orchestrator.vault import Vault

    async with open_desk(call) as desk:
        vault = Vault(ring_of(desk.settings))
        rows = [_document(vault, key) for key in await _known(desk)]
    if call.json:
        for row in rows:
            put_json(row)
        return
    put_table(("KEY", "STATE", "LOGINS", "CHECKS"), (tuple(row.values()) for row in rows))


async def _retire(call: Call, key_id: str) -> None:
    from orchestrator.cli import vault as own
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.domain.errors import InvalidInput
    from orchestrator.runs import vault_keys

    async with open_desk(call) as desk:
        vault = await own.ready_vault(desk.settings, desk.worker)
        if key_id == await vault_keys.introduce_current(desk.worker, vault):
            raise InvalidInput(
                f"Key {key_id} seals here; `harborx keys rotate` puts another in its place."
            )
        await vault_keys.retire(desk.worker, key_id)
        removed = [str(file) for file in own.remove_key(desk.settings, key_id)]
    if call.json:
        put_json({"retired": key_id, "removed": removed})
        return
    say(f"Key {key_id} is retired{''.join(f'; {file} is removed' for file in removed)}.")


async def _known(desk: Desk) -> list[KnownKey]:
    from orchestrator.runs.vault_keys import known_keys

    return await known_keys(desk.worker)


def _seals(vault: Vault, key: KnownKey) -> bool:
    return vault.ring.current().holds(key.key_id)


def _document(vault: Vault, key: KnownKey) -> dict[str, Any]:
    if key.retired_at is not None:
        state = "retired"
    elif not vault.ring.holds(key.key_id):
        state = "missing"
    else:
        state = "seals" if _seals(vault, key) else "opens"
    return {"key": key.key_id, "state": state, "logins": key.credentials, "checks": key.checks}
