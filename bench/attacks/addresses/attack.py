"""
Spellings of addresses where nobody may connect, and names whose address changes with each look: not one packet may go
there. A child process plays it in a network of its own (see `cage`), through the product's own ways out.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.attacks.addresses import cage
from bench.attacks.addresses.resolver import Resolver
from bench.attacks.addresses.spellings import Speller, Spelling
from bench.attacks.ground import Ground
from bench.attacks.record import Played
from orchestrator import log
from orchestrator.domain.errors import AddressForbidden, HostUnreachable
from orchestrator.ssh import addresses, connection, host_keys
from orchestrator.ssh.addresses import AddressPolicy, Endpoint
from orchestrator.ssh.connection import Deadlines, Target
from orchestrator.ssh.keys import KeyPair, generate_key_pair

_FLIPS: Final = 20  # looks at names that change, for each spelling
_NAMES: Final = 16  # that change
_BATCH: Final = 20  # spellings between two looks at the counters
_ROOT: Final = Path(__file__).parents[3]
# Where the tools are that the cage is built with, though not on everybody's PATH.
_TOOLS_AT: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
_TIMEOUT: Final = 2.0
_DEADLINES: Final = Deadlines(connect=_TIMEOUT, login=_TIMEOUT, close=0.2)
_WAYS: Final = ("open", "resolve", "first contact", "login")


async def play(ground: Ground, count: int, seed: int, *, mutation: str | None = None) -> Played:
    """`mutation` takes a guard out of the product first, by its name in `MUTATIONS`."""
    told = await _played_by_a_child({"count": count, "seed": seed, "mutation": mutation})
    if "impossible" in told:
        why = f"nothing was played: {told['impossible']}"
        return Played(0, {"packets": 0}, missed=(why,))
    return Played(
        attempted=told["attempted"],
        must_be_zero={"packets": told["packets"]},
        figures=told["figures"],
        missed=tuple(told["missed"]),
        sentences=tuple(told["sentences"]),
    )


async def _played_by_a_child(order: dict[str, Any]) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.attacks.addresses.attack", json.dumps(order)),
        cwd=_ROOT,
        env={**os.environ, "PATH": _TOOLS_AT},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120 + 3 * order["count"]):
            output, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        return {"impossible": "the child process did not end in time"}
    if child.returncode != 0:
        return {"impossible": f"the child process ended with {child.returncode}"}
    told: dict[str, Any] = json.loads(output)
    return told


@dataclass
class _Attack:
    """In the cage. `outcomes` counts what the product said; `missed` what it should not have."""

    chooser: random.Random
    resolver: Resolver
    key: KeyPair
    policy: AddressPolicy = field(default_factory=AddressPolicy)
    outcomes: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    async def contact(self, host: str, way: str) -> str:
        """One try; what it came to."""
        try:
            return await self._out(host, way)
        except (AddressForbidden, HostUnreachable) as error:
            return type(error).__name__

    async def _out(self, host: str, way: str) -> str:
        if way == "open":
            opened = await addresses.open_socket(host, 22, self.policy, timeout=_TIMEOUT)
            with closing(opened):
                return "connected"
        endpoint = Endpoint(host, 22, self.policy)
        if way == "resolve":
            return f"told {await addresses.resolve(endpoint, timeout=_TIMEOUT)}"
        if way == "first contact":
            return await host_keys.first_contact(endpoint, deadlines=_DEADLINES, attempts=1)
        target = Target(host, 22, "root", self.key.private_key, self.key.public_key, self.policy)
        async with connection.connect(target, deadlines=_DEADLINES, attempts=1):
            return "logged in"

    async def spellings(self, spelled: Sequence[Spelling]) -> None:
        """Each by one of the ways, none of which may get anywhere or be told anything."""
        for start in range(0, len(spelled), _BATCH):
            batch = spelled[start : start + _BATCH]
            before = _leaked()
            for each in batch:
                way = self.chooser.choice(_WAYS)
                outcome = await self.contact(each.host, way)
                self.outcomes[outcome] += 1
                if outcome not in ("AddressForbidden", "HostUnreachable"):
                    self.missed.append(f"{each.kind} {each.host!r} by {way}: {outcome}")
            if more := _leaked() - before:
                tried = ", ".join(f"{each.kind} {each.host!r}" for each in batch)
                self.sentences.append(f"{more} packets while these were tried: {tried}")
            print(f"security: addresses: {start + len(batch)} spellings", file=sys.stderr)

    async def flips(self, names: Sequence[str], count: int) -> Counter[str]:
        """Look after look at names that change in between: public, forbidden, public, ..."""
        outcomes: Counter[str] = Counter()
        before = _leaked()

        async def one(name: str) -> None:
            for _ in range(count // len(names)):
                way = self.chooser.choice(_WAYS)
                outcomes[f"{way}: {(await self.contact(name, way)).split()[0]}"] += 1

        await asyncio.gather(*(one(name) for name in names))
        if more := _leaked() - before:
            self.sentences.append(f"{more} packets while names changed between looks")
        return outcomes


def _leaked() -> int:
    """Nothing that is tried here is anywhere but at forbidden addresses and the allowed ones."""
    now = cage.counted()
    return now.forbidden + now.other


async def _attacked(count: int, seed: int, mutation: str | None) -> dict[str, Any]:
    chooser = random.Random(seed)
    speller = Speller(chooser)
    spelled = speller.spell(count)
    turns = {
        f"turn{number}.test": (cage.ALLOWED, (str(speller.forbidden()), "fd00:ec2::254"))
        for number in range(_NAMES)
    }
    resolver = Resolver(cage.RESOLVER, speller.records, turns)
    attack = _Attack(chooser, resolver, generate_key_pair())
    await _controlled(attack)
    if mutation is not None:
        MUTATIONS[mutation]()
    await attack.spellings(spelled)
    reached = cage.counted().allowed
    flips = await attack.flips(list(turns), count * _FLIPS)
    if mutation is None and cage.counted().allowed == reached:
        attack.missed.append("no name that changes was ever connected to at its public address")
    if not any(outcome.startswith("resolve: told") for outcome in flips):
        attack.missed.append("no name that changes was ever public")
    return {
        "attempted": len(spelled) + sum(flips.values()),
        "packets": _leaked(),
        "missed": attack.missed,
        "sentences": attack.sentences,
        "figures": {
            "spellings": len(spelled),
            "kinds": len({each.kind for each in spelled}),
            "outcomes": dict(attack.outcomes),
            "flips": dict(sorted(flips.items())),
            "packets_to_allowed": cage.counted().allowed,
            "dns_queries": resolver.queries,
        },
    }


async def _controlled(attack: _Attack) -> None:
    """The cage counts: a packet to an allowed address leaves, of IPv4 and of IPv6."""
    for host in cage.ALLOWED:
        before = cage.counted().allowed
        await attack.contact(host, "open")
        if cage.counted().allowed == before:
            attack.missed.append(f"the control failed: no packet to {host} was counted")


def _check_after_connecting() -> None:
    check, connect = addresses._check, addresses._connect_to_one

    async def connect_then_check(found: Any, policy: AddressPolicy, timeout: float) -> Any:
        opened = await connect(found, policy, timeout)
        for each in found:
            check(each, "", policy, spelled=False)
        return opened

    addresses._check = lambda *_, **__: None
    addresses._connect_to_one = connect_then_check


def _resolve_twice() -> None:
    async def twice(host: str, port: int, policy: AddressPolicy, *, timeout: float) -> Any:
        await addresses.resolve(Endpoint(host, port, policy), timeout=timeout)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.open_connection(host, port)
        except OSError as error:
            raise HostUnreachable from error
        raise AssertionError("nothing in the cage accepts")

    for module in (addresses, host_keys, connection):
        module.open_socket = twice  # type: ignore[attr-defined]


def _mapped_unchecked() -> None:
    ends = addresses._ends

    def without(address: addresses.Address) -> Any:
        mapped = address.version == 6 and address.ipv4_mapped is not None
        return iter([address]) if mapped else ends(address)

    public = addresses._is_public
    addresses._ends = without
    addresses._is_public = lambda each: (
        getattr(each, "ipv4_mapped", None) is not None or public(each)
    )


def _one_address_checked() -> None:
    look_up = addresses.look_up

    class FirstOnly(list[Any]):
        def __iter__(self) -> Any:
            return iter(self[:1])

    async def looked_up(*arguments: Any) -> Any:
        return FirstOnly(await look_up(*arguments))

    addresses.look_up = looked_up


def _ourselves_unchecked() -> None:
    addresses._is_here = lambda *_: False


# What each takes out of the product; with any of them packets leave.
MUTATIONS: Final = {
    "check_after_connecting": _check_after_connecting,
    "resolve_twice": _resolve_twice,
    "mapped_unchecked": _mapped_unchecked,
    "one_address_checked": _one_address_checked,
    "ourselves_unchecked": _ourselves_unchecked,
}


def main(order: dict[str, Any]) -> None:
    """The child: one line of JSON."""
    log.configure("error", "json")
    with tempfile.TemporaryDirectory(prefix="hx-cage-", ignore_cleanup_errors=True) as folder:
        impossible = cage.enter(Path(folder))
        if impossible is not None:
            print(json.dumps({"impossible": impossible}))
            return
        print(json.dumps(asyncio.run(_attacked(**order))))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
