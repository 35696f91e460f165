"""
An installation with suppliers, everything they sign in with, and an issuer beside it that publishes its keys.

The issuer also publishes a symmetric key by mistake, as self-hosted ones do, and counts who asks for keys of the
attacker's.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from jwt.algorithms import ECAlgorithm

from bench.attacks.ground import Ground
from orchestrator.api.app import Surface, create_app
from orchestrator.api.auth import Authenticator
from orchestrator.config import load
from orchestrator.database import accounts, sign_ins
from orchestrator.database.logins import Logins
from orchestrator.database.session import LOGIN, SERVICE, Database, Principal, supplier
from orchestrator.runs.api_keys import create_key, create_submit_key
from orchestrator.vault import Vault

SECRET: Final = "the-session-secret-of-the-attacked-installation-0123456789"
ISSUER: Final = "https://issuer.example/auth/v1"
PUBLISHED_SECRET: Final = b"published-by-mistake-" * 2
KID: Final = "one"
_SUPPLIERS: Final = 4
# Forgeries that are not looked at would prove nothing.
_UNLIMITED: Final = dict.fromkeys(
    ("rate_limit_reads", "rate_limit_writes", "rate_limit_expensive", "rate_limit_anonymous"), 0
)


@dataclass(frozen=True)
class Supplier:
    """One with two machines. `ended` is a session that was signed out; `revoked` and `expired` are keys."""

    user_id: UUID
    session_id: UUID
    token: str
    ended: str
    external: str
    key: str
    reading: str
    revoked: str
    expired: str
    machines: tuple[UUID, UUID]
    submit_key: str  # of the first machine


@dataclass(frozen=True)
class Issuer:
    private: ec.EllipticCurvePrivateKey
    url: str
    asked: list[str]  # paths of keys that are not the issuer's

    def token(self, **changes: Any) -> str:
        return self.signed(claims(iss=ISSUER, **changes))

    def signed(self, said: dict[str, Any], **header: Any) -> str:
        headers = {"kid": KID, **header}
        return jwt.encode(said, self.private, algorithm="ES256", headers=headers)


@dataclass(frozen=True)
class Installation:
    app: FastAPI
    issuer: Issuer
    suppliers: list[Supplier]
    service_key: str = field(repr=False)

    @property
    def authenticator(self) -> Authenticator:
        authenticator: Authenticator = self.app.state.authenticator
        return authenticator

    @property
    def valid(self) -> set[str]:
        """What signs somebody in, and so is no forgery."""
        return {
            credential
            for each in self.suppliers
            for credential in (each.token, each.external, each.key, each.reading, each.submit_key)
        } | {self.service_key}


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a token of ours; a change to None leaves a claim out."""
    now = int(datetime.now(UTC).timestamp())
    said = {
        "iss": "harborx",
        "aud": "authenticated",
        "role": "authenticated",
        "sub": str(uuid4()),
        "iat": now,
        "exp": now + 24 * 3600,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


@asynccontextmanager
async def installation(ground: Ground) -> AsyncIterator[Installation]:
    with ground.database() as logins, _issuer() as issuer:
        api, worker = Database(logins.api), Database(logins.worker)
        try:
            flags = {"issuer": ISSUER, "issuer_jwks_url": issuer.url}
            settings = load(None, {}, {"auth": flags, "server": _UNLIMITED}).settings
            app = create_app(Surface(api, Vault(bytes(32)), settings, SECRET))
            suppliers = [await _supplier(api, logins, issuer, n) for n in range(_SUPPLIERS)]
            service_key = await create_key(
                worker, SERVICE, "operator", scopes=["submit"], service_role=True
            )
            async with app.router.lifespan_context(app):
                yield Installation(app, issuer, suppliers, service_key)
        finally:
            await api.close()
            await worker.close()


async def _supplier(api: Database, logins: Logins, issuer: Issuer, number: int) -> Supplier:
    async with api.transaction(LOGIN) as session:
        user_id = await accounts.sign_up(session, f"s{number}@example.com", "$argon2id$none")
        live, over = [await sign_ins.open_sign_in(session, user_id, None, 86_400) for _ in "12"]
    principal = supplier(user_id)
    async with api.transaction(principal) as session:
        await sign_ins.revoke(session, over)
    machines = _machines(logins, user_id)
    made = [
        await create_key(api, principal, name, scopes=scopes)
        for name, scopes in (
            ("all", ["read", "test", "submit"]),
            ("reading", ["read"]),
            ("revoked", ["read", "test", "submit"]),
            ("expired", ["read", "test", "submit"]),
        )
    ]
    await _end(api, principal, logins)
    week = datetime.now(UTC) + timedelta(days=7)
    return Supplier(
        user_id=user_id,
        session_id=live,
        token=ours(sub=str(user_id), sid=str(live)),
        ended=ours(sub=str(user_id), sid=str(over)),
        external=issuer.token(sub=str(uuid4()), email=f"far{number}@example.com"),
        key=made[0],
        reading=made[1],
        revoked=made[2],
        expired=made[3],
        machines=machines,
        submit_key=await create_submit_key(api, principal, machines[0], expires_at=week),
    )


def ours(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, algorithm="HS256")


def _machines(logins: Logins, user_id: UUID) -> tuple[UUID, UUID]:
    first, second = uuid4(), uuid4()
    with psycopg.connect(logins.owner) as connection:
        for machine in (first, second):
            connection.execute(
                "INSERT INTO gpu_instances (id, user_id, vast_instance_id, ssh_host) VALUES (%s, %s, %s, 'h')",
                (machine, user_id, str(machine)),
            )
    return first, second


async def _end(api: Database, principal: Principal, logins: Logins) -> None:
    async with api.transaction(principal) as session:
        [revoked] = [key.id for key in await accounts.keys(session) if key.name == "revoked"]
        await accounts.revoke_key(session, revoked)
    with psycopg.connect(logins.owner) as connection:
        connection.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'expired'"
        )


@contextmanager
def _issuer() -> Iterator[Issuer]:
    private = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(ECAlgorithm.to_jwk(private.public_key()))
    secret = base64.urlsafe_b64encode(PUBLISHED_SECRET).rstrip(b"=").decode()
    keys = [
        {**public, "kid": KID, "use": "sig", "alg": "ES256"},
        {"kty": "oct", "kid": "oct", "k": secret, "alg": "HS256"},
    ]
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/jwks.json":
                asked.append(self.path)
            body = json.dumps({"keys": keys}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Issuer(private, f"http://127.0.0.1:{server.server_port}/jwks.json", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
