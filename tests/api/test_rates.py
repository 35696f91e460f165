"""How much a caller may ask for: by supplier or by network, told in headers, and nothing that a made-up login gets around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from orchestrator.api import rates
from orchestrator.api.rates import Rates, Windows
from orchestrator.config import ServerSettings
from orchestrator.database import listing
from tests.api.conftest import Api, application, connect
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]
OFF = {f"rate_limit_{name}": 0 for name in ("reads", "writes", "anonymous", "expensive", "streams")}


@asynccontextmanager
async def limited(databases: Databases, **settings: Any) -> AsyncIterator[Api]:
    app = application(databases.api, server={**OFF, **settings})
    async with app.router.lifespan_context(app), connect(app) as client:
        yield Api(databases, app, client)


async def test_a_supplier_has_so_many_whatever_it_signs_in_with(
    databases: Databases, is_problem: Problem
) -> None:
    """Sessions and keys of one supplier share what it has, and others have their own; what is left is told."""
    async with limited(databases, rate_limit_reads=3) as api:
        supplier, other = await api.sign_up(), await api.sign_up()
        key = {"x-api-key": await supplier.key("read")}
        seen = [await supplier.client.get("/v1/profile") for _ in range(2)]
        assert seen[0].headers["ratelimit-policy"] == '"read";q=3;w=60'
        assert seen[1].headers["ratelimit"].startswith('"read";r=1;t=')
        # A login that was not seen before is nobody's until it has been recognised.
        for _ in range(2):
            assert (await api.client.get("/v1/profile", headers=key)).status_code == 200
        refused = await api.client.get("/v1/profile", headers=key)
        is_problem(refused, 429, "too_many_requests")
        wait = int(refused.headers["retry-after"])
        assert 0 < wait <= 60
        assert refused.headers["ratelimit"] == f'"read";r=0;t={wait}'
        is_problem(await supplier.client.get("/v1/runs"), 429, "too_many_requests")
        assert (await supplier.client.post("/v1/inventory", json={"gpu_model": "a"})).is_success
        for _ in range(3):
            assert (await other.client.get("/v1/profile")).status_code == 200


async def test_made_up_logins_share_what_their_network_has(
    databases: Databases, is_problem: Problem
) -> None:
    """A new invention for every request is no way around; a login that has ended counts as an invention."""
    async with limited(databases, rate_limit_anonymous=4) as api:
        for number in range(4):
            headers = {"Authorization": f"Bearer invented-{number}"}
            is_problem(await api.client.get("/v1/runs", headers=headers), 401, "not_authenticated")
        is_problem(
            await api.client.get("/v1/runs", headers={"x-api-key": "another"}),
            *(429, "too_many_requests"),
        )
        is_problem(await api.client.get("/v1/listing"), 429, "too_many_requests")
        assert (await api.client.get("/healthz")).status_code == 200


async def test_what_costs_a_core_is_counted_apart(databases: Databases) -> None:
    """Passwords are hashed so many times a minute only, signed in or not."""
    async with limited(databases, rate_limit_expensive=1) as api:
        await api.sign_up()
        answer = await api.client.post("/v1/auth/sign-in", json={"email": "a", "password": "b"})
        assert answer.status_code == 429
        assert answer.headers["ratelimit-policy"].startswith('"expensive";')


async def test_so_many_streams_are_open_at_a_time() -> None:
    """One more is refused until one has ended, however it ended."""
    opened, end = asyncio.Semaphore(0), asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        opened.release()
        await end.wait()
        raise RuntimeError("it broke")

    settings = ServerSettings(**{**OFF, "rate_limit_streams": 2})
    rated = Rates(stream, settings=settings)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = application(None, server=OFF)  # type: ignore[arg-type]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/instances/changes",
        "headers": [],
        "client": ("192.0.2.1", 1),
        "app": app,
    }
    tasks = [asyncio.create_task(rated({**scope}, None, send)) for _ in range(2)]  # type: ignore[arg-type]
    for _ in tasks:
        await opened.acquire()
    await rated({**scope}, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 429
    end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    with pytest.raises(RuntimeError):
        await rated({**scope}, None, send)  # type: ignore[arg-type]


def test_windows_take_no_more_memory_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many callers there are; a window that is over begins anew."""
    now = 1000.0
    monkeypatch.setattr(rates.time, "time", lambda: now)
    monkeypatch.setattr(rates, "_MOST_WINDOWS", 100)
    windows = Windows()
    assert [windows.incr("me", 60) for _ in range(3)] == [1, 2, 3]
    for number in range(500):
        windows.incr(str(number), 60)
    assert windows.reset() <= 101
    assert windows.incr("me", 60) == 1
    now += 61
    assert windows.get("me") == 0
    assert (windows.incr("me", 60), windows.get_expiry("me")) == (1, now + 60)
    for number in range(10):
        windows.incr(str(number), 60)
    now += 61
    windows.incr("a", 60)
    windows.incr("b", 60)
    assert windows.reset() < 10  # those that are over go, a few with each that begins


async def test_the_listing_is_read_once_for_all_who_ask(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is the same for everybody: a hundred at a time are one statement, and a failure is not kept."""
    reads, page = 0, listing.page

    async def counted(*given: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == 1:
            raise RuntimeError("once")
        return await page(*given)

    monkeypatch.setattr(listing, "page", counted)
    async with limited(databases) as api:
        assert (await api.client.get("/v1/listing")).status_code == 500
        answers = await asyncio.gather(*(api.client.get("/v1/listing") for _ in range(100)))
        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].headers["cache-control"] == "public, max-age=3"
        assert reads == 2
        await api.client.get("/v1/listing", params={"limit": 7})
        assert reads == 3
