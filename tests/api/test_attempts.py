"""Guessing is slow: sign-ins that fail are counted by account and network, for all servers together."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import argon2
import httpx
import psycopg
import pytest
from fastapi import FastAPI

from orchestrator.database.session import LOGIN
from orchestrator.domain.errors import TooManyAttempts
from orchestrator.runs import attempts, passwords
from orchestrator.runs.passwords import Passwords
from tests.api.conftest import PASSWORD, Api, Supplier, application, connect
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]
SIGN_IN, SIGN_UP = "/v1/auth/sign-in", "/v1/auth/sign-up"
HOME = "192.0.2.7"
WRONG = "wrong horse battery"


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2id with small parameters: what is counted here does not depend on them."""
    quick = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)
    monkeypatch.setattr(passwords, "_NOBODYS", quick.hash("nobody's"))


@asynccontextmanager
async def at(app: FastAPI, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose connection comes from there."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://harborx.test") as client:
        yield client


async def sign_in(
    app: FastAPI, address: str, email: str, password: str = PASSWORD
) -> httpx.Response:
    async with at(app, address) as client:
        return await client.post(SIGN_IN, json={"email": email, "password": password})


async def fail(app: FastAPI, address: str, email: str, times: int) -> None:
    for _ in range(times):
        assert (await sign_in(app, address, email, WRONG)).status_code == 401


async def account(app: FastAPI, address: str = HOME) -> str:
    email = f"{secrets.token_hex(6)}@example.com"
    async with at(app, address) as client:
        answer = await client.post(SIGN_UP, json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return email


def later(databases: Databases, seconds: float) -> None:
    """As if so much time had passed for every counter."""
    with psycopg.connect(databases.logins.owner) as connection:
        connection.execute(
            "UPDATE attempts SET last_at = last_at - make_interval(secs => %s)", (seconds,)
        )


def logged(databases: Databases) -> list[Any]:
    with psycopg.connect(databases.logins.owner) as connection:
        return connection.execute(
            "SELECT actor, detail FROM audit_log WHERE action = 'accounts.sign_in_failed' ORDER BY id"
        ).fetchall()


async def test_waits_grow_and_tell_nothing_of_accounts(api: Api, is_problem: Problem) -> None:
    """After five failures each wait doubles; 429 says how long, alike for accounts that do not exist."""
    known = await account(api.app, "198.51.100.9")
    answers = {}
    for email in (known, "nobody@example.com"):
        await fail(api.app, HOME, email, 5)
        refused = await sign_in(api.app, HOME, email)
        is_problem(refused, 429, "too_many_attempts")
        assert refused.headers["retry-after"] == "1"
        answers[email] = (refused.json(), sorted(refused.headers))
        for wait in (1, 2, 4):
            later(api.databases, wait)
            await fail(api.app, HOME, email.upper(), 1)
            refused = await sign_in(api.app, HOME, email)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, str(2 * wait))
    assert answers[known] == answers["nobody@example.com"]


async def test_a_wait_is_bounded_and_failures_are_forgotten(api: Api) -> None:
    """Nobody waits for longer than a quarter of an hour, and an hour later all is as before."""
    email = await account(api.app)
    await fail(api.app, HOME, email, 5)
    with psycopg.connect(api.databases.logins.owner) as connection:
        connection.execute("UPDATE attempts SET failures = 1000000 WHERE failures >= 5")
    refused = await sign_in(api.app, HOME, email)
    assert refused.headers["retry-after"] == "900"
    later(api.databases, 3600)
    await fail(api.app, HOME, email, 5)


async def test_attempts_at_once_are_counted_for_all_servers(api: Api, databases: Databases) -> None:
    """Of twenty guesses at once at two servers five are looked at: each counts before its password is."""
    email = await account(api.app)
    servers = (api.app, application(databases.api))
    guesses = [sign_in(servers[n % 2], HOME, email, WRONG) for n in range(20)]
    statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert sorted(statuses) == [401] * 5 + [429] * 15


async def test_success_starts_anew(api: Api) -> None:
    """Whoever signs in has their failures forgotten; others' stay counted."""
    email = await account(api.app)
    for _ in range(3):
        await fail(api.app, HOME, email, 4)
        assert (await sign_in(api.app, HOME, email)).status_code == 200
    with psycopg.connect(api.databases.logins.owner) as connection:
        network = attempts.signing_in("", f"{HOME}/32")[1].id
        row = connection.execute("SELECT failures FROM attempts WHERE id = %s", (network,))
        assert row.fetchone() == (12,)


async def test_nobody_elsewhere_locks_the_owner_out(api: Api) -> None:
    """Strangers from many networks make other strangers wait, and not who has signed in from there before."""
    email = await account(api.app)
    for n in range(4):
        await fail(api.app, f"203.0.113.{n}", email, 5)
    assert (await sign_in(api.app, "203.0.113.99", email)).status_code == 429
    assert (await sign_in(api.app, HOME, email)).status_code == 200
    later(api.databases, 60)  # nor does anybody else wait for longer than a minute
    assert (await sign_in(api.app, "203.0.113.99", email)).status_code == 200


async def test_a_network_is_what_one_client_has(api: Api) -> None:
    """An IPv6 client has a /64 of addresses and one counter; another /64 has its own."""
    email = await account(api.app, "2001:db8:1::1")
    for n in range(5):
        await fail(api.app, f"2001:db8:1::{n}", email, 1)
    assert (await sign_in(api.app, "2001:db8:1::ffff", email)).status_code == 429
    assert (await sign_in(api.app, "2001:db8:2::1", email)).status_code == 200


async def test_trying_many_accounts_is_slow_as_well(api: Api) -> None:
    """Fifty failures from one network are enough, whichever accounts they were for."""
    for n in range(10):
        await fail(api.app, HOME, f"{n}@example.com", 5)
    assert (await sign_in(api.app, HOME, "fresh@example.com")).status_code == 429
    assert (await sign_in(api.app, "203.0.113.1", "fresh@example.com")).status_code == 401


async def test_a_refused_attempt_writes_nothing(api: Api) -> None:
    """Whoever has to wait fills no table."""
    await fail(api.app, HOME, "nobody@example.com", 5)
    with psycopg.connect(api.databases.logins.owner) as connection:
        counted = "SELECT count(*), sum(failures) FROM attempts"
        before = connection.execute(counted).fetchone()
        for _ in range(3):
            refused = await sign_in(api.app, HOME, "nobody@example.com")
            assert refused.status_code == 429
        assert connection.execute(counted).fetchone() == before


async def test_signing_up_is_limited_by_network(api: Api, is_problem: Problem) -> None:
    """Twenty accounts an hour from one network cost nothing; then there is a wait."""
    counters = attempts.signing_up(f"{HOME}/32")
    for _ in range(20):
        async with api.databases.api.transaction(LOGIN) as session:
            await attempts.begin(session, counters)
    login = {"email": "new@example.com", "password": PASSWORD}
    async with at(api.app, HOME) as client:
        is_problem(await client.post(SIGN_UP, json=login), 429, "too_many_attempts")
    async with at(api.app, "203.0.113.1") as client:
        assert (await client.post(SIGN_UP, json=login)).status_code == 201


async def test_changing_the_password_is_no_way_around(
    supplier: Supplier, is_problem: Problem
) -> None:
    """A stolen session guesses no faster than anybody who signs in, and both are counted together."""
    body = {"current_password": WRONG, "new_password": "another long password"}
    for _ in range(5):
        is_problem(
            await supplier.client.put("/v1/profile/password", json=body), 400, "invalid_input"
        )
    for password in (WRONG, PASSWORD):
        answer = await supplier.client.put(
            "/v1/profile/password", json=body | {"current_password": password}
        )
        is_problem(answer, 429, "too_many_attempts")
    login = {"email": supplier.email, "password": PASSWORD}
    assert (await supplier.api.client.post(SIGN_IN, json=login)).status_code == 429


async def test_an_account_learns_of_guessing(api: Api) -> None:
    """Its log tells of the first failure within an hour and of the tenth, from which network, and of no others."""
    email = await account(api.app)
    for n in range(3):
        await fail(api.app, f"203.0.113.{n}", email, 4)
    await fail(api.app, HOME, "nobody@example.com", 1)
    assert logged(api.databases) == [
        ("nobody", {"failures": 1, "network": "203.0.113.0/32"}),
        ("nobody", {"failures": 10, "network": "203.0.113.2/32"}),
    ]


async def test_an_old_hash_is_renewed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next sign-in the password is hashed as it is today; the password stays, and so do sessions."""
    with monkeypatch.context() as patch:
        patch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=64))
        made = await api.sign_up()
    stored = "SELECT password_hash FROM accounts"
    with psycopg.connect(api.databases.logins.owner, autocommit=True) as connection:
        (before,) = connection.execute(stored).fetchone() or ("",)
        for _ in range(2):
            assert (await sign_in(api.app, HOME, made.email)).status_code == 200
        (after,) = connection.execute(stored).fetchone() or ("",)
    assert ",t=1," in before
    assert ",t=2," in after
    assert (await made.client.get("/v1/profile")).status_code == 200


async def test_hashing_takes_a_bounded_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four passwords at once are hashed, so many more wait, and the next one is refused at once."""
    hashing, most, counting = 0, 0, threading.Lock()
    full, free = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow:
        def hash(self, _: str) -> str:
            nonlocal hashing, most
            with counting:
                hashing += 1
                most = max(most, hashing)
                if hashing == Passwords.AT_ONCE:
                    loop.call_soon_threadsafe(full.set)
            asyncio.run_coroutine_threadsafe(free.wait(), loop).result()
            with counting:
                hashing -= 1
            return "hash"

    monkeypatch.setattr(passwords, "_HASHER", Slow())
    ours = Passwords()
    waiting = [asyncio.create_task(ours.hash("x")) for _ in range(ours.AT_ONCE + ours.WAITING)]
    await full.wait()
    with pytest.raises(TooManyAttempts):
        await ours.hash("x")
    free.set()
    assert set(await asyncio.gather(*waiting)) == {"hash"}
    assert most == ours.AT_ONCE
    assert await ours.hash("x") == "hash"


async def test_sign_ins_behind_a_proxy_are_told_apart(databases: Databases) -> None:
    """What a trusted proxy says counts as the client's network; what anybody else says does not."""
    proxied = application(databases.api, server={"trusted_proxies": ["127.0.0.1/32"]})
    for app, status in ((proxied, 401), (application(databases.api), 429)):
        async with connect(app) as client:
            for n in range(6):
                answer = await client.post(
                    SIGN_IN,
                    json={"email": "nobody@example.com", "password": WRONG},
                    headers={"X-Forwarded-For": f"203.0.113.{n}"},
                )
            assert answer.status_code == status
