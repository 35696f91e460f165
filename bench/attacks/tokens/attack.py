"""
Forged credentials: none is let in, wherever it is shown, and none makes the server stumble.

Most are shown to the one place that recognises callers, a share to the whole application: as Authorization, as
x-api-key, as cookie, and in the body of the old endpoint. In between come valid ones, which must be let in: else
nothing would be proven. Valid ones that are used for what they are not for are forgeries, too.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from bench.attacks.ground import Ground
from bench.attacks.record import Played
from bench.attacks.tokens.forgeries import Forger, forged
from bench.attacks.tokens.installation import Installation, Supplier, installation
from orchestrator.api.auth import COOKIE
from orchestrator.domain.errors import NotAllowed, NotAuthenticated

_OVER_HTTP: Final = 0.2
_MISUSED: Final = 0.05
_A_CONTROL_EVERY: Final = 25
_SUBMIT: Final = "/functions/v1/submit-test-results"
_READ: Final = ("/v1/profile", "/v1/instances", "/v1/api-keys", "/v1/results", "/v1/audit")
_MOST_SENTENCES: Final = 40

Answer = tuple[bool, int]  # let in or not, and HTTP's status where there is one


@dataclass
class Tally:
    """What became of them; `sentences` tell of those that were let in."""

    forged: int = 0
    faults: int = 0
    controls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def refused(self, kind: str, where: str, answer: Answer) -> None:
        let_in, status = answer
        self.kinds[kind] += 1
        self.statuses[status] += 1
        self.faults += status >= 500
        self.forged += let_in
        if let_in or status >= 500:
            self.sentences.append(f"{kind}, shown as {where}: let in {let_in}, status {status}")

    def control(self, what: str, answer: Answer) -> None:
        self.controls += 1
        if not answer[0]:
            self.missed.append(f"a valid {what} was not let in (status {answer[1]})")


async def play(ground: Ground, count: int, seed: int) -> Played:
    rng = random.Random(seed)
    async with installation(ground) as world:
        tally = await _attack(world, rng, count)
        if world.issuer.asked:
            tally.missed.append(
                f"the server asked for keys that a token named: {world.issuer.asked[:3]}"
            )
    return Played(
        attempted=sum(tally.kinds.values()),
        must_be_zero={"forged": tally.forged, "5xx": tally.faults},
        figures={
            "kinds": dict(sorted(tally.kinds.items())),
            "statuses": {str(status): n for status, n in sorted(tally.statuses.items())},
            "valid_let_in": tally.controls,
        },
        missed=tuple(tally.missed[:_MOST_SENTENCES]),
        sentences=tuple(tally.sentences[:_MOST_SENTENCES]),
    )


async def _attack(world: Installation, rng: random.Random, count: int) -> Tally:
    tally = Tally()
    forger = Forger(world, rng, ec.generate_private_key(ec.SECP256R1()))
    transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://attacked.test") as client:
        shown = Shown(world, client)
        for number in range(count):
            if number % _A_CONTROL_EVERY == 0:
                tally.control(*await shown.valid(rng))
            if rng.random() < _MISUSED:
                what, answer = await shown.misused(rng)
                tally.refused(f"misused {what}", "http", answer)
                continue
            kind, credential = forged(forger)
            where = "the authenticator"
            if rng.random() < _OVER_HTTP:
                where = rng.choice(
                    ("bearer", "x-api-key", "cookie", "submit header", "submit body")
                )
                answer = await shown.over_http(where, credential, rng.choice(world.suppliers))
            else:
                answer = await shown.directly(credential)
            tally.refused(kind, where, answer)
    return tally


@dataclass(frozen=True)
class Shown:
    """Ways to show a credential."""

    world: Installation
    client: httpx.AsyncClient

    async def directly(self, credential: str) -> Answer:
        asked = self.world.authenticator.caller(credential)
        match (await asyncio.gather(asked, return_exceptions=True))[0]:
            case NotAuthenticated():
                return False, 401
            case NotAllowed():
                return False, 403
            case BaseException():  # whatever it is, a server would answer 500
                return False, 500
        return True, 200

    async def over_http(self, where: str, credential: str, victim: Supplier) -> Answer:
        plain = credential.encode("utf-8", "replace")
        ways: dict[str, Callable[[], Any]] = {
            "bearer": lambda: self._get("authorization", b"Bearer " + plain),
            "x-api-key": lambda: self._get("x-api-key", plain),
            "cookie": lambda: self._get("cookie", COOKIE.encode() + b"=" + plain),
            "submit header": lambda: self._submit(victim.machines[0], plain),
            "submit body": lambda: self._submit(victim.machines[0], None, api_key=credential),
        }
        answer: Answer = await ways[where]()
        return answer

    async def misused(self, rng: random.Random) -> tuple[str, Answer]:
        """Valid, and not for this."""
        one, two = rng.sample(self.world.suppliers, 2)
        read, machine = rng.choice(_READ), one.machines[0]
        key = {"name": "more", "scopes": [rng.choice(("read", "test", "submit"))]}
        ways: dict[str, Callable[[], Any]] = {
            "submit key to read": lambda: self._get("x-api-key", one.submit_key.encode(), read),
            "submit key to ask": lambda: self._post(
                f"/v1/instances/{machine}/runs", one.submit_key
            ),
            "submit key to make a key": lambda: self._post("/v1/api-keys", one.submit_key, key),
            "submit key, second machine": lambda: self._submit(one.machines[1], one.submit_key),
            "submit key, another's machine": lambda: self._submit(two.machines[0], one.submit_key),
            "key, another's machine": lambda: self._submit(two.machines[0], one.key),
            "reading key to ask": lambda: self._post(f"/v1/instances/{machine}/runs", one.reading),
            "reading key to submit": lambda: self._submit(machine, one.reading),
            "reading key to make a key": lambda: self._post("/v1/api-keys", one.reading, key),
            "service key to read": lambda: self._get(
                "x-api-key", self.world.service_key.encode(), read
            ),
            "service key to ask": lambda: self._post(
                f"/v1/instances/{machine}/runs", self.world.service_key
            ),
            "session to submit": lambda: self._submit(machine, one.token),
            "key, another's machine to read": lambda: self._get(
                "x-api-key", one.key.encode(), f"/v1/instances/{two.machines[0]}"
            ),
        }
        what = rng.choice(list(ways))
        return what, await ways[what]()

    async def valid(self, rng: random.Random) -> tuple[str, Answer]:
        one = rng.choice(self.world.suppliers)
        ways: dict[str, Callable[[], Any]] = {
            "session": lambda: self.directly(one.token),
            "session as cookie": lambda: self.over_http("cookie", one.token, one),
            "token of the issuer": lambda: self.over_http("bearer", one.external, one),
            "key": lambda: self.over_http("x-api-key", one.key, one),
            "reading key": lambda: self.directly(one.reading),
            "submit key": lambda: self._submit(one.machines[0], one.submit_key),
            "service-role key": lambda: self.over_http("submit body", self.world.service_key, one),
        }
        what = rng.choice(list(ways))
        return what, await ways[what]()

    async def _get(self, header: str, value: bytes, path: str = "/v1/profile") -> Answer:
        headers = [(header.encode(), value)]
        return _answer(await self.client.get(path, headers=headers))

    async def _post(self, path: str, key: str, body: dict[str, Any] | None = None) -> Answer:
        headers = {"x-api-key": key}
        return _answer(await self.client.post(path, headers=headers, json=body or {}))

    async def _submit(self, machine: UUID, key: str | bytes | None, **body: str) -> Answer:
        headers: dict[str, Any] = {} if key is None else {"x-api-key": key}
        payload = {"gpu_instance_id": str(machine), **body}
        return _answer(await self.client.post(_SUBMIT, headers=headers, json=payload))


def _answer(answer: httpx.Response) -> Answer:
    return answer.is_success, answer.status_code
