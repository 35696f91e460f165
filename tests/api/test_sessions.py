"""Sessions: the browser's cookie and what it counts for, where one is signed in, and how sessions end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from orchestrator.api.auth import COOKIE, Authenticator, LiveSessions
from orchestrator.database import sign_ins
from orchestrator.database.session import Database
from tests.api.conftest import PASSWORD, Api, Supplier, application, connect
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]
HERE = {"Origin": "http://harborx.test"}
ITEM = {"gpu_model": "NVIDIA H100"}


def browser(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    """A client that keeps cookies."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://harborx.test", headers=headers)


@asynccontextmanager
async def signed_in(
    app: FastAPI, email: str, password: str = PASSWORD, **headers: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(app, **headers) as client:
        login = {"email": email, "password": password}
        answer = await client.post("/v1/auth/sign-in", json=login)
        assert answer.status_code == 200, answer.text
        yield client


async def knocks(client: httpx.AsyncClient) -> int:
    return (await client.get("/v1/profile")).status_code


class Clock:
    """Moved by hand, for what a process remembers."""

    def __init__(self, app: FastAPI) -> None:
        authenticator: Authenticator = app.state.authenticator
        self.now = 1000.0
        authenticator.sessions.clock = lambda: self.now


async def test_signing_in_sets_a_cookie_that_no_script_reads(
    api: Api, supplier: Supplier, databases: Databases
) -> None:
    """The cookie is the token: HttpOnly, SameSite=Strict, for as long as the session, and Secure where we are https."""
    login = {"email": supplier.email, "password": PASSWORD}
    plain = await api.client.post("/v1/auth/sign-in", json=login)
    said = plain.json()
    name, *attributes = plain.headers["set-cookie"].split("; ")
    assert name == f"{COOKIE}={said['access_token']}"
    assert sorted(map(str.lower, attributes)) == [
        "httponly",
        f"max-age={said['expires_in']}",
        "path=/",
        "samesite=strict",
    ]
    app = application(databases.api, server={"public_url": "https://gpus.example"})
    async with connect(app) as client:
        for path in ("/v1/auth/sign-in", "/v1/auth/sign-up"):
            new = {**login, "email": "new@example.com"} if path.endswith("up") else login
            answer = await client.post(path, json=new)
            assert "Secure" in answer.headers["set-cookie"].split("; ")


async def test_behind_a_tls_proxy_we_are_https(
    databases: Databases, supplier: Supplier, is_problem: Problem
) -> None:
    """Where a trusted proxy says https the cookie is Secure and our Origin https; where anybody else says so, neither."""
    login = {"email": supplier.email, "password": PASSWORD}
    proxied = application(databases.api, server={"trusted_proxies": ["127.0.0.0/8"]})
    for app, secure in ((proxied, True), (application(databases.api), False)):
        async with connect(app, {"X-Forwarded-Proto": "https"}) as client:
            answer = await client.post("/v1/auth/sign-in", json=login)
            assert ("Secure" in answer.headers["set-cookie"].split("; ")) is secure
            cookie = {"Cookie": f"{COOKIE}={answer.json()['access_token']}"}
            for scheme, ours in (("https", secure), ("http", not secure)):
                headers = cookie | {"Origin": f"{scheme}://harborx.test"}
                changed = await client.post("/v1/inventory", json=ITEM, headers=headers)
                assert changed.status_code == (201 if ours else 401)


@pytest.mark.parametrize(
    ("origin", "counts"),
    [
        (None, False),
        ("null", False),
        ("http://elsewhere.example", False),
        ("https://harborx.test", False),
        ("http://harborx.test:8080", False),
        ("http://sub.harborx.test", False),
        ("http://harborx.test.elsewhere.example", False),
        ("http://[", False),
        ("http://harborx.test", True),
        ("http://gpus.example", True),
        ("https://gpus.example", False),
    ],
)
async def test_a_cookie_changes_something_from_our_own_pages_only(
    databases: Databases,
    supplier: Supplier,
    is_problem: Problem,
    origin: str | None,
    counts: bool,
) -> None:
    """Whatever the method, a change needs an Origin that is the request's own address or public_url; reading needs none."""
    app = application(databases.api, server={"public_url": "http://GPUs.example:80/"})
    headers = {"Origin": origin} if origin else {}
    async with signed_in(app, supplier.email) as client:
        assert await knocks(client) == 200
        for method, path in (
            ("POST", "/v1/inventory"),
            ("PATCH", f"/v1/inventory/{uuid4()}"),
            ("DELETE", f"/v1/inventory/{uuid4()}"),
            ("PUT", "/v1/profile/password"),
            ("POST", "/functions/v1/request-gpu-test"),
        ):
            answer = await client.request(method, path, json={}, headers=headers)
            if counts:
                assert answer.status_code in (404, 422, 400), answer.text
            elif path.startswith("/v1"):
                is_problem(answer, 401, "not_authenticated")
                assert "Origin" in answer.json()["detail"]
            else:
                assert answer.status_code == 401
        ended = await client.post("/v1/auth/sign-out", headers=headers)
        assert ended.status_code == (204 if counts else 401)
        assert await knocks(client) == (401 if counts else 200)


async def test_a_header_goes_before_the_cookie(supplier: Supplier) -> None:
    """With any Authorization or x-api-key the cookie counts for nothing, and with a valid one no Origin is asked for."""
    async with signed_in(supplier.api.app, supplier.email) as client:
        for headers in (
            {"Authorization": "Basic c29tZTpvbmU="},
            {"Authorization": "Bearer a.b.c"},
            {"Authorization": ""},
            {"x-api-key": "hx_live_nothing"},
            {"x-api-key": ""},
        ):
            assert (await client.get("/v1/profile", headers=headers)).status_code == 401
        headers = {"x-api-key": await supplier.key()}
        answer = await client.post("/v1/inventory", json=ITEM, headers=headers)
        assert answer.status_code == 201


async def test_other_sites_are_not_lent_the_cookie(supplier: Supplier) -> None:
    """However open CORS is, no answer lets another site's page read it with the visitor's cookie."""
    async with signed_in(supplier.api.app, supplier.email) as client:
        answer = await client.get("/v1/profile", headers={"Origin": "http://elsewhere.example"})
    assert answer.status_code == 200
    assert "access-control-allow-credentials" not in answer.headers


async def test_signing_out_ends_the_session_at_once(supplier: Supplier) -> None:
    """Its cookie is taken back and its token is dead everywhere; signing out again is no error, other sessions stay."""
    async with signed_in(supplier.api.app, supplier.email) as client:
        token = client.cookies[COOKIE]
        assert await knocks(client) == 200
        answer = await client.post("/v1/auth/sign-out", headers=HERE)
        assert answer.status_code == 204
        assert COOKIE not in client.cookies
        bearer = {"Authorization": f"Bearer {token}"}
        for _ in range(2):
            assert (await client.get("/v1/profile", headers=bearer)).status_code == 401
            client.cookies.set(COOKIE, token, domain="harborx.test")
            again = await client.post("/v1/auth/sign-out", headers=HERE)
            assert again.status_code == 204
            assert COOKIE not in client.cookies
        assert (await client.post("/v1/auth/sign-out")).status_code == 204
    assert await knocks(supplier.client) == 200


async def test_only_sessions_are_signed_out(supplier: Supplier, is_problem: Problem) -> None:
    """An API key is not signed out, it is revoked."""
    headers = {"x-api-key": await supplier.key()}
    answer = await supplier.api.client.post("/v1/auth/sign-out", headers=headers)
    is_problem(answer, 403, "not_allowed")


async def test_sessions_are_listed_and_ended_from_afar(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Newest first, each by what it told of itself; one that is ended is refused with the next request."""
    agent = "Browser \t/1 " + "x" * 400
    async with signed_in(supplier.api.app, supplier.email, **{"User-Agent": agent}) as client:
        listed = (await supplier.client.get("/v1/sessions")).json()
        assert [each["current"] for each in listed] == [False, True]
        newest, own = listed
        assert newest["user_agent"] == agent.replace("\t", "")[:300]
        assert own["id"] == supplier.session_id
        assert newest["created_at"] <= newest["last_seen_at"] < newest["expires_at"]
        assert [each["current"] for each in (await client.get("/v1/sessions")).json()] == [
            True,
            False,
        ]

        path = f"/v1/sessions/{newest['id']}"
        is_problem(await other.client.delete(path), 404, "not_found")
        assert await knocks(client) == 200
        assert (await supplier.client.delete(path)).status_code == 204
        is_problem(await client.get("/v1/profile"), 401, "not_authenticated")
        is_problem(await supplier.client.delete(path), 404, "not_found")
    assert [each["id"] for each in (await supplier.client.get("/v1/sessions")).json()] == [
        own["id"]
    ]
    assert [each["id"] for each in (await other.client.get("/v1/sessions")).json()] == [
        other.session_id
    ]


async def test_another_process_learns_of_the_end_within_seconds(
    databases: Databases, supplier: Supplier
) -> None:
    """A process asks the database at most once in five seconds, so it believes an ended session no longer than that."""
    elsewhere = application(databases.api)
    clock = Clock(elsewhere)
    headers = {"Authorization": f"Bearer {supplier.token}"}
    async with connect(elsewhere, headers) as client:
        assert await knocks(client) == 200
        assert (await supplier.client.post("/v1/auth/sign-out")).status_code == 204
        clock.now += 4.9
        assert await knocks(client) == 200
        clock.now += 0.1
        assert await knocks(client) == 401
        assert await knocks(client) == 401


async def test_a_session_ends_by_the_databases_clock(supplier: Supplier) -> None:
    """Whatever its token says, a session that is over on record is over, and in no list."""
    with psycopg.connect(supplier.api.databases.logins.owner) as connection:
        connection.execute("UPDATE sessions SET expires_at = now()")
    assert await knocks(supplier.client) == 401
    async with signed_in(supplier.api.app, supplier.email) as client:
        [only] = (await client.get("/v1/sessions")).json()
    assert only["current"]


async def test_an_answer_from_before_the_end_is_not_remembered(
    databases: Databases, supplier: Supplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ends while the database is being asked about it is asked about again."""
    sessions = LiveSessions(databases.api)
    ask = sign_ins.use

    async def ended_meanwhile(*given: Any) -> Any:
        answer = await ask(*given)
        sessions.forget(given[1])
        return answer

    session_id = (await supplier.client.get("/v1/sessions")).json()[0]["id"]
    with monkeypatch.context() as patch:
        patch.setattr(sign_ins, "use", ended_meanwhile)
        assert await sessions.holder(session_id) == supplier.user_id
    assert (await supplier.client.delete(f"/v1/sessions/{session_id}")).status_code == 204
    assert await sessions.holder(session_id) is None


async def test_what_is_remembered_of_sessions_is_bounded(
    databases: Databases, supplier: Supplier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest known makes room for the newest; a known one is not asked about again."""
    monkeypatch.setattr(LiveSessions, "MOST", 2)
    sessions = LiveSessions(databases.api)
    asked = []
    ask = sign_ins.use

    async def counted(*given: Any) -> Any:
        asked.append(str(given[1]))
        return await ask(*given)

    monkeypatch.setattr(sign_ins, "use", counted)
    for _ in range(2):
        await supplier.api.client.post(
            "/v1/auth/sign-in", json={"email": supplier.email, "password": PASSWORD}
        )
    first, second, third = [
        each["id"] for each in (await supplier.client.get("/v1/sessions")).json()
    ]
    asked.clear()
    for session_id in (first, second, third, third, second, first):
        assert await sessions.holder(session_id) == supplier.user_id
    assert asked == [first, second, third, first]


async def test_a_new_password_ends_every_other_session(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """The session that sets it stays, the others are refused at once, and only the new password opens."""
    new = "another long password"
    async with signed_in(supplier.api.app, supplier.email) as client:
        assert await knocks(client) == 200
        body = {"current_password": PASSWORD, "new_password": new}
        path = "/v1/profile/password"
        for wrong in (
            {"current_password": PASSWORD + "!"},
            {"current_password": ""},
            {"new_password": "short"},
        ):
            answer = await client.put(path, json=body | wrong, headers=HERE)
            is_problem(answer, 400, "invalid_input")
            assert PASSWORD not in answer.text
            named = "password has 10" if "new_password" in wrong else "current_password is wrong"
            assert named in answer.json()["detail"]
        assert await knocks(supplier.client) == 200
        answer = await client.put(path, json=body, headers=HERE)
        assert answer.status_code == 204, answer.text
        assert await knocks(client) == 200
        assert len((await client.get("/v1/sessions")).json()) == 1
    assert await knocks(supplier.client) == 401
    assert await knocks(other.client) == 200
    login = {"email": supplier.email, "password": PASSWORD}
    is_problem(
        await supplier.api.client.post("/v1/auth/sign-in", json=login), 401, "not_authenticated"
    )
    async with signed_in(supplier.api.app, supplier.email, new):
        pass


async def test_an_api_key_changes_no_password(supplier: Supplier, is_problem: Problem) -> None:
    """A key that leaks with the password known is still not enough to take an account over."""
    headers = {"x-api-key": await supplier.key()}
    body = {"current_password": PASSWORD, "new_password": "another long password"}
    answer = await supplier.api.client.put("/v1/profile/password", json=body, headers=headers)
    is_problem(answer, 403, "not_allowed")
    async with signed_in(supplier.api.app, supplier.email):
        pass


async def test_without_postgresql_nobody_is_signed_out(supplier: Supplier) -> None:
    """A session that can't be asked about is a 503 and never a 401, and its cookie stays."""
    gone = Database("postgresql://harborx_api@127.0.0.1:1/none")
    async with browser(application(gone)) as client:
        client.cookies.set(COOKIE, supplier.token, domain="harborx.test")
        assert await knocks(client) == 503
        answer = await client.post("/v1/auth/sign-out", headers=HERE)
        assert answer.status_code == 503
        assert COOKIE in client.cookies
    await gone.close()


async def test_an_api_key_ends_no_session(supplier: Supplier, is_problem: Problem) -> None:
    """A key that leaked can't shut its owner out, whatever its scopes."""
    headers = {"x-api-key": await supplier.key("read", "test")}
    (session,) = (await supplier.client.get("/v1/sessions")).json()
    path = f"/v1/sessions/{session['id']}"
    is_problem(await supplier.api.client.delete(path, headers=headers), 403, "not_allowed")
    assert (await supplier.client.get("/v1/profile")).status_code == 200


async def test_another_site_takes_no_cookie_away(supplier: Supplier) -> None:
    """Signing out without a cookie, as a page of another site must, sets none."""
    answer = await supplier.api.client.post(
        "/v1/auth/sign-out", headers={"Origin": "https://evil.example"}
    )
    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)
