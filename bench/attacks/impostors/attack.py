"""
Logins, by the product's own way, to addresses where somebody else has come to stand: what does an impostor hear of them?

A login begins with message 5 (the service) and message 50 (the user's name, key and signature), after the key exchange. The
impostors count both, in bytes; an honest machine in between is logged in to, or nothing would be shown by their silence.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import asyncssh
from sqlalchemy import update
from sqlmodel import col

from bench.attacks.ground import Ground
from bench.attacks.impostors.faces import (
    HOST,
    Address,
    Announcement,
    Face,
    address,
    borrowed,
    certified,
    new_key,
)
from bench.attacks.record import Played
from bench.attacks.silence import silence
from bench.attacks.tenants import House, Place, Tenant, tenants_of
from orchestrator.config import load
from orchestrator.database import host_authorities, instances
from orchestrator.database.models import Instance
from orchestrator.database.session import SERVICE, supplier
from orchestrator.domain.errors import RunError
from orchestrator.runs.execute import Worker
from orchestrator.runs.login import logged_in
from orchestrator.ssh.connection import Connection
from orchestrator.ssh.keys import one_line

_CONTROL_EVERY: Final = 10
_TOLD_EVERY: Final = 200
_HEARS: Final = 5.0
_SENTENCES: Final = 40
_TWICE: Final = {"ssh": {"allowed_networks": ["127.0.0.0/8"], "connect_attempts": 2}}


@dataclass
class Scene:
    """The machine and its key, the supplier's authority, keys of every kind, and the seed's dice."""

    dice: Random
    key: asyncssh.SSHKey
    authority: asyncssh.SSHKey
    ecdsa: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    )
    rsa: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-rsa"))

    def another(self) -> asyncssh.SSHKey:
        return new_key(self.dice)

    def certify(
        self, key: asyncssh.SSHKey, signer: asyncssh.SSHKey | None = None, **said: Any
    ) -> asyncssh.SSHCertificate:
        known = {"principals": [HOST], "valid_before": datetime.now(UTC) + timedelta(hours=1)}
        return (signer or self.authority).generate_host_certificate(key, "h", **{**known, **said})

    def in_certificate(self, **said: Any) -> Face:
        """An impostor's own key in a certificate."""
        own = self.another()
        return Face(certified(own, self.certify(own, **said)))

    @property
    def machine(self) -> Face:
        return Face(self.key, honest=True)


Faces = Callable[[Scene], tuple[Face, ...]]


@dataclass(frozen=True)
class Variant:
    """
    Who answers, one connection after the other, at the address of an instance that is `pinned` to a key, that an authority
    is to vouch for (`covered`), that is held to a fingerprint (`given`), or that was never seen (`fresh`). Of `lets_in`
    connections the machine itself is the other end, before the impostor comes.
    """

    faces: Faces
    instance: str = "pinned"
    lets_in: int = 0


def _one_byte_off(scene: Scene) -> bytes:
    changed = bytearray(scene.key.public_data)
    changed[scene.dice.randrange(len(changed) - 32, len(changed))] ^= 1 << scene.dice.randrange(8)
    return bytes(changed)


def _forged_proof(scene: Scene) -> tuple[Face, ...]:
    """The machine's line is read, and a key is announced on it that nobody there has."""
    own = scene.another()
    return replace(scene.machine, announces=Announcement((own,), forged=True)), Face(own)


def _stolen_certificate(scene: Scene) -> tuple[Face, ...]:
    theirs = scene.another()
    return (Face(certified(theirs, scene.certify(theirs), scene.another())),)


def _user_certificate(scene: Scene) -> tuple[Face, ...]:
    own = scene.another()
    written = scene.authority.generate_user_certificate(own, "u", principals=[HOST])
    return (Face(certified(own, written)),)


def _expired(scene: Scene) -> tuple[Face, ...]:
    ago = timedelta(seconds=scene.dice.randrange(1, 10**7))
    return (scene.in_certificate(valid_before=datetime.now(UTC) - ago),)


def _not_yet(scene: Scene) -> tuple[Face, ...]:
    now = datetime.now(UTC)
    later = {"valid_after": now + timedelta(hours=1), "valid_before": now + timedelta(hours=2)}
    return (scene.in_certificate(**later),)


VARIANTS: Final[dict[str, Variant]] = {
    "another_key": Variant(lambda scene: (Face(scene.another()),)),
    "another_kind_ecdsa": Variant(lambda scene: (Face(scene.ecdsa),)),
    "another_kind_rsa": Variant(lambda scene: (Face(scene.rsa),)),
    "one_byte_off": Variant(lambda scene: (Face(borrowed(_one_byte_off(scene), scene.another())),)),
    "public_half": Variant(lambda scene: (Face(borrowed(scene.key.public_data, scene.another())),)),
    "lets_in_anybody": Variant(lambda scene: (Face(scene.another(), trivial=True),)),
    "between_attempts": Variant(lambda scene: (Face(None), Face(scene.another()))),
    "unasked_certificate": Variant(lambda scene: (scene.in_certificate(),)),
    "forged_proof": Variant(_forged_proof, lets_in=1),
    "after_first_contact": Variant(
        lambda scene: (Face(scene.another()), Face(scene.another())), "fresh"
    ),
    "not_the_key_given": Variant(lambda scene: (Face(scene.another()),), "given"),
    "not_the_kind_given": Variant(lambda scene: (Face(scene.rsa),), "given"),
    "unknown_authority": Variant(
        lambda scene: (scene.in_certificate(signer=scene.another()),), "covered"
    ),
    "expired_certificate": Variant(_expired, "covered"),
    "certificate_of_the_future": Variant(_not_yet, "covered"),
    "certificate_of_another_host": Variant(
        lambda scene: (scene.in_certificate(principals=["127.0.0.2"]),), "covered"
    ),
    "certificate_of_no_host": Variant(
        lambda scene: (scene.in_certificate(principals=[]),), "covered"
    ),
    "certificate_of_a_user": Variant(_user_certificate, "covered"),
    "stolen_certificate": Variant(_stolen_certificate, "covered"),
    "no_certificate": Variant(lambda scene: (Face(scene.another()),), "covered"),
}


@dataclass
class _Stage:
    """The suppliers' instances, all at the one address."""

    scene: Scene
    here: Address
    tenants: dict[str, Tenant]
    worker: Worker
    ids: dict[str, UUID]
    refusals: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    async def attack(self, name: str) -> None:
        variant = VARIANTS[name]
        before = self.here.impostors.bytes
        await self._forget(variant.instance)
        self.here.next.clear()
        self.here.next.extend(variant.faces(self.scene))
        for _ in range(variant.lets_in):
            await self._visit(variant.instance, self._announced)
        refusal = await self._visit(variant.instance)
        self.refusals[refusal] += 1
        heard = self.here.impostors.bytes - before
        if heard or refusal == "logged_in":
            self.sentences.append(f"{name}: {refusal}, {heard} bytes of a login")

    async def control(self) -> None:
        """The machine itself, whichever way it is known, and by a key that it has proved."""
        own, scene = self.scene.another(), self.scene
        certificate = Face(certified(own, scene.certify(own)), honest=True)
        rotated = replace(scene.machine, announces=Announcement((own,)))
        for kind, faces in (
            ("pinned", (scene.machine,)),
            ("fresh", (scene.machine,)),
            ("given", (scene.machine,)),
            ("covered", (certificate,)),
            ("pinned", (rotated, Face(own, honest=True))),
        ):
            await self._forget(kind)
            for face in faces:
                self.here.next.clear()
                self.here.next.append(face)
                waits = self._announced if face.announces else None
                if (came := await self._visit(kind, waits)) != "logged_in":
                    self.missed.append(f"the machine itself ({kind}) was not logged in to: {came}")

    async def _visit(self, kind: str, then: Callable[[Connection], Any] | None = None) -> str:
        """One login by the product; what came of it, once the other end has counted all."""
        async with self.worker.database.transaction(SERVICE) as session:
            instance = await instances.get(session, self.ids[kind])
        try:
            async with logged_in(instance, self.worker, uuid4()) as connection:
                if then is not None:
                    await then(connection)
            came = "logged_in"
        except RunError as error:
            came = error.code
        await self.here.quiet()
        return came

    async def _announced(self, connection: Connection) -> None:
        async with asyncio.timeout(_HEARS):
            while connection.announced is None:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0.002)

    async def _forget(self, kind: str) -> None:
        """As it was before: only a pinned instance has a key."""
        pinned = kind == "pinned"
        values = {
            "host_key": one_line(self.scene.key) if pinned else None,
            "host_key_trust": "first_contact" if pinned else None,
            "host_key_confirmed_at": None,
            "host_keys_proved": None,
            "host_key_offered": None,
        }
        async with self.worker.database.transaction(SERVICE) as session:
            await session.exec(
                update(Instance).where(col(Instance.id) == self.ids[kind]).values(**values)
            )


async def play(
    ground: Ground, count: int, seed: int, names: Sequence[str] = tuple(VARIANTS)
) -> Played:
    """`count` connections to impostors, of the variants `names`, in an order of `seed`."""
    dice = Random(seed)
    scene = Scene(dice, new_key(dice), new_key(dice))
    counted: Counter[str] = Counter()
    with ground.database() as logins, silence():
        async with tenants_of(logins) as house, address() as here:
            stage = await _stage(scene, here, house)
            bag: list[str] = []
            while here.impostors.connections < count:
                if not bag:  # each comes before one comes twice
                    bag = dice.sample(list(names), len(names))
                name = bag.pop()
                await stage.attack(name)
                counted[name] += 1
                tried = counted.total()
                if tried % _CONTROL_EVERY == 1:
                    await stage.control()
                if tried % _TOLD_EVERY == 0:
                    _tell(here)
    return _played(stage, counted)


async def _stage(scene: Scene, here: Address, house: House) -> _Stage:
    one, fleet = await house.tenant(), await house.tenant()
    tenants = {"pinned": one, "fresh": one, "given": one, "covered": fleet}
    ids = {}
    for kind, tenant in tenants.items():
        run = await tenant.request(Place(kind, HOST, here.port))
        ids[kind] = run.instance_id
    async with house.api.transaction(supplier(fleet.user_id)) as session:
        await host_authorities.add(
            session, HOST, one_line(scene.authority), scene.authority.get_fingerprint()
        )
    async with house.api.transaction(supplier(one.user_id)) as session:
        given = {"host_key_given": scene.key.get_fingerprint()}
        await instances.change(session, ids["given"], given)
    worker = replace(house.worker, settings=load(None, {}, _TWICE).settings)
    return _Stage(scene, here, tenants, worker, ids)


def _tell(here: Address) -> None:
    print(
        f"impostors: {here.impostors.connections} connections, {here.impostors.bytes} bytes of logins,"
        f" {here.machine.logins} logins of the machine itself",
        file=sys.stderr,
        flush=True,
    )


def _played(stage: _Stage, counted: Counter[str]) -> Played:
    here = stage.here
    if not here.machine.bytes:
        stage.missed.append(
            "the machine itself has heard of no login, so that silence shows nothing"
        )
    figures = {
        "variants": len(counted),
        "attacks": counted.total(),
        "auth_messages": here.impostors.messages,
        "refusals": dict(sorted(stage.refusals.items())),
        "honest_logins": here.machine.logins,
        "honest_auth_bytes": here.machine.bytes,
    }
    logged_in = stage.refusals["logged_in"]
    return Played(
        here.impostors.connections,
        {"auth_bytes": here.impostors.bytes, "logins": here.impostors.logins + logged_in},
        figures,
        tuple(stage.missed),
        tuple(stage.sentences[:_SENTENCES]),
    )
