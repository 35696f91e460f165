"""The real application over a real database, spoken to by HTTP."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from uuid import UUID

import asyncssh
import httpx
import jwt
import pytest
import structlog
from fastapi import FastAPI

from orchestrator.api.app import Surface, create_app
from orchestrator.config import load
from orchestrator.database import claims
from orchestrator.database.session import SERVICE, Database
from orchestrator.runs.api_keys import create_key
from orchestrator.ssh.user_ca import UserCa
from orchestrator.vault import Vault
from tests.conftest import Databases

SESSION_SECRET = "a-session-secret-of-the-tests-that-is-long-enough-for-any-hmac-0123456789"
PASSWORD = "correct horse battery"


@dataclass
class Api:
    """`client` acts as nobody; `Supplier.client` sends its session."""

    databases: Databases
    app: FastAPI
    client: httpx.AsyncClient

    async def sign_up(self, email: str | None = None) -> Supplier:
        email = email or f"{secrets.token_hex(6)}@example.com"
        answer = await self.client.post(
            "/v1/auth/sign-up", json={"email": email, "password": PASSWORD}
        )
        assert answer.status_code == 201, answer.text
        said = answer.json()
        client = connect(self.app, {"Authorization": f"Bearer {said['access_token']}"})
        return Supplier(self, client, email, UUID(said["user_id"]), said["access_token"])

    async def service_key(self) -> str:
        return await create_key(
            self.databases.worker, SERVICE, "guide", scopes=["submit"], service_role=True
        )


@dataclass
class Supplier:
    api: Api
    client: httpx.AsyncClient
    email: str
    user_id: UUID
    token: str
    machines: int = field(default=0)

    @property
    def session_id(self) -> str:
        said = jwt.decode(self.token, options={"verify_signature": False})
        return str(said["sid"])

    async def onboard(self, **fields: Any) -> dict[str, Any]:
        self.machines += 1
        body = {"instance_id": f"m-{self.machines}", "ssh_host": "host.example", **fields}
        answer = await self.client.post("/functions/v1/onboard-gpu", json=body)
        assert answer.status_code == 200, answer.text
        instance: dict[str, Any] = answer.json()["gpu_instance"]
        return instance

    async def request(self) -> dict[str, Any]:
        """A queued run of a machine of its own."""
        instance = await self.onboard()
        answer = await self.client.post(f"/v1/instances/{instance['id']}/runs")
        assert answer.status_code == 202, answer.text
        run: dict[str, Any] = answer.json()
        assert answer.headers["location"] == f"/v1/runs/{run['id']}"
        return run

    async def claimed_run(self) -> UUID:
        """A run that a worker has begun."""
        run_id = UUID((await self.request())["id"])
        async with self.api.databases.worker.transaction(SERVICE) as session:
            assert await claims.claim(session, run_id, "worker") is not None
        return run_id

    async def key(self, *scopes: str, **fields: Any) -> str:
        body = {"name": "a key", "scopes": list(scopes) or ["read", "test", "submit"], **fields}
        answer = await self.client.post("/v1/api-keys", json=body)
        assert answer.status_code == 201, answer.text
        key: str = answer.json()["key"]
        return key


def connect(app: FastAPI, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    # An exception of the application becomes its 500, as a server would answer it.
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://harborx.test", headers=headers)
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no browser
    return client


def application(database: Database, **flags: Any) -> FastAPI:
    settings = load(None, {}, flags).settings
    ca = UserCa(asyncssh.generate_private_key("ssh-ed25519")).trusted
    return create_app(Surface(database, Vault(bytes(32)), settings, SESSION_SECRET, user_ca=ca))


def resolved(document: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Of an OpenAPI document: what stands here, or where it points to."""
    if "$ref" not in told:
        return told
    _, _, kind, name = told["$ref"].split("/")
    found: dict[str, Any] = document["components"][kind][name]
    return found


@pytest.fixture(scope="package", autouse=True)
def _plain_log() -> None:
    """What an application logs is one line an event; structlog's own default draws every frame."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )


@pytest.fixture
async def api(databases: Databases) -> AsyncIterator[Api]:
    app = application(databases.api)
    async with app.router.lifespan_context(app), connect(app) as client:
        yield Api(databases, app, client)


@pytest.fixture
async def supplier(api: Api) -> Supplier:
    return await api.sign_up()


@pytest.fixture
async def other(api: Api) -> Supplier:
    return await api.sign_up()


@pytest.fixture
def is_problem() -> Callable[[httpx.Response, int, str], None]:
    def check(answer: httpx.Response, status: int, code: str) -> None:
        """An answer of /v1 is the problem `code`, complete."""
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        said = answer.json()
        assert (said["status"], said["code"]) == (status, code)
        assert said["type"] == f"urn:harborx:problem:{code}"
        assert said["title"]
        assert said["remedy"]
        assert said["detail"].startswith(said["title"])

    return check
