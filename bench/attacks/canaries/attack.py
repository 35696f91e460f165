"""
Every secret of a whole installation's life, searched for wherever it could have got to: database and its files, logs, answers,
what commands print, processes and the machine's disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.attacks import sealed_rows
from bench.attacks.canaries import places
from bench.attacks.canaries.forms import Find, of_key, search
from bench.attacks.canaries.life import Life, kept_secrets, live
from bench.attacks.canaries.places import Place, Watch
from bench.attacks.ground import Ground
from bench.attacks.record import Played
from orchestrator.cli.vault import ring_of
from orchestrator.config import load
from orchestrator.database.logins import database_logins
from orchestrator.database.schema import apply_schema
from orchestrator.domain.errors import VaultError
from orchestrator.runs.login_keys import open_credential
from orchestrator.vault import Vault
from tests.machines import bin_folder, sshd_machine

# Where a secret has to be: whoever it is for is told it there.
_SHOWN: Final = {
    ("session token", "the answer to POST /v1/auth/sign-up"),
    ("session token", "the answer to POST /v1/auth/sign-in"),
    ("API key", "the answer to POST /v1/api-keys"),
    ("submit key", "the answer to POST /v1/instances/{id}/submit-keys"),
    ("service-role key", "harborx keys create"),
}
# What has to be reached, or nothing was there to be found.
_ENDED: Final = {
    "check 0": "passed",
    "check 1": "passed",
    "test": "passed",
    "damaged": "inconclusive",
    "rotation": "passed",
    "check 5": "passed",
}


async def play(ground: Ground, count: int, seed: int) -> Played:
    """`count` lives, one after the other. The secrets are random; there is nothing else to choose."""
    lives = [await life_searched() for _ in range(count)]
    leaks = [str(find) for each in lives for find in each.leaks]
    return Played(
        attempted=sum(len(each.life.canaries) for each in lives),
        must_be_zero={"leaks": len(leaks)},
        figures={
            "places": sum(each.places for each in lives),
            "bytes": sum(each.size for each in lives),
            "looks_at_processes": sum(each.looks for each in lives),
            "shown_where_meant": dict(Counter(f.canary for each in lives for f in each.shown)),
            "ended": lives[-1].life.ended,
        },
        missed=tuple(sentence for each in lives for sentence in each.trouble()),
        sentences=tuple(leaks),
    )


class Searched:
    """A life that is over, and what was found."""

    def __init__(self, life: Life, looks: int) -> None:
        self.life = life
        self.looks = looks
        self.places = 0
        self.size = 0
        self.shown: list[Find] = []
        self.leaks: list[Find] = []

    def take(self, place: Place) -> None:
        name, data = place
        self.places += 1
        self.size += len(data)
        for find in search(name, data, self.life.canaries):
            (self.shown if _is_meant(find) else self.leaks).append(find)

    def trouble(self) -> Iterator[str]:
        """Why the search may have proved nothing."""
        meant = {canary for canary, _ in _SHOWN}
        for canary in meant & {each.name for each in self.life.canaries}:
            if not any(find.canary == canary for find in self.shown):
                yield f"The {canary} was not found where it is shown, so the search is blind."
        kept = [each.name for each in self.life.canaries if each.name.startswith("kept ")]
        for name in kept:
            if not any(find.canary == name for find in self.shown):
                yield f"{name} was not found in its own file."
        if self.life.ended != _ENDED:
            yield f"Not everything ended as it does: {self.life.ended}."


async def life_searched(*mutations: str, whole: bool = True) -> Searched:
    """A life in a folder of its own, gone afterwards; `mutations` take guards out of all its processes."""
    folder = Path(tempfile.mkdtemp(prefix="hx-"))
    try:
        tools = bin_folder(folder / "bin", python3=sys.executable)
        with sshd_machine(path=tools) as machine, contextlib.ExitStack() as stack:
            began = time.time()
            settings = load(None, {}, {"state_dir": str(folder / "state")}).settings
            logins = await asyncio.to_thread(stack.enter_context, database_logins(settings))
            await asyncio.to_thread(apply_schema, logins)
            life = Life(folder, logins, machine, mutations)
            life.configure()
            with Watch(machine.home) as watch:
                await live(life, whole=whole)
            searched = Searched(life, watch.looks)
            life.canaries += kept_secrets(life.state)
            vault = Vault(ring_of(settings))
            for row in sealed_rows.read(logins):
                with contextlib.suppress(VaultError):
                    if row.kind == "generated":
                        key = await open_credential(vault, None, row, "canary")
                        life.canaries += of_key("our key", key.private_key)
            await asyncio.to_thread(_search, searched, watch, began)
            return searched
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _search(searched: Searched, watch: Watch, began: float) -> None:
    life = searched.life
    for place in life.places:
        searched.take(place)
    for place in watch.seen:
        searched.take(place)
    for place in places.database_dump(life.logins.owner):
        searched.take(place)
    for name, data in places.files(life.state, "the state folder's", began):
        searched.take((name, data))
    for place in places.files(life.machine.home, "the machine's"):
        searched.take(place)
    searched.take(("the log of sshd", life.machine.log.encode()))


def _is_meant(find: Find) -> bool:
    own = find.canary.removeprefix("kept ")
    return (find.canary, find.place) in _SHOWN or find.place == f"the state folder's {own}"
