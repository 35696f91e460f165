"""What holds for every request and every answer, whatever it is about."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import jsonschema_rs
import pytest
from fastapi import FastAPI

from orchestrator.api import bodies
from orchestrator.api.document import REPEATS, operations
from orchestrator.database.session import Database
from tests.api.conftest import application, connect, resolved

Problem = Callable[[httpx.Response, int, str], None]
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"
SIGN_IN = "/v1/auth/sign-in"


def without_database(**settings: Any) -> FastAPI:
    """For what is answered before anything is looked up."""
    return application(Database(NO_DATABASE), server=settings)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return without_database()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(app) as client:
        yield client


async def test_a_method_that_is_not_there_is_told_what_is(
    client: httpx.AsyncClient, is_problem: Problem
) -> None:
    """405 and OPTIONS name all methods of a path, and not of what merely looks like it; HEAD is GET without a body."""
    path = "/v1/instances/5f0c2f5e-52b6-4f1e-9f0a-0a4f5d1f2a11"
    answer = await client.post(path, json={})
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, PATCH, DELETE"
    told = await client.options(path)
    assert (told.status_code, told.headers["allow"], told.content) == (
        204,
        "GET, HEAD, PATCH, DELETE",
        b"",
    )
    for method in ("DELETE", "PATCH"):
        answer = await client.request(method, "/v1/instances/overview")
        is_problem(answer, 405, "method_not_allowed")
    assert (await client.options("/v1/nothing")).status_code == 404
    is_problem(await client.get("/v1/instances/word"), 404, "not_found")
    assert (await client.head("/healthz")).status_code == 200
    stream = await client.head("/v1/instances/changes")
    assert (stream.status_code, stream.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("accept", "path", "good"),
    [
        ("text/html, application/xhtml+xml;q=0.9", "/v1/runs", False),
        ("application/json;q=0", "/v1/runs", False),
        ("text/event-stream", "/v1/runs", False),
        ("text/html, */*;q=0.1", "/v1/runs", True),
        ("application/problem+json", "/v1/runs", True),
        ("text/event-stream", "/v1/instances/changes", True),
    ],
)
async def test_what_is_accepted_is_heeded(
    client: httpx.AsyncClient, is_problem: Problem, accept: str, path: str, good: bool
) -> None:
    """A request that accepts nothing of what there is gets 406; a page that takes anything last is fine."""
    answer = await client.get(path, headers={"Accept": accept})
    is_problem(answer, *((401, "not_authenticated") if good else (406, "not_acceptable")))


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        (b"{", "", "line 1, column 2"),
        (b"\xff", "", "UTF-8"),
        ('{"email": "a"}'.encode("utf-16"), "", ""),
        (b"[" * 100_000, "", "deeper"),
        (b'{"a": ' * 70 + b"1" + b"}" * 70, "", "deeper"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "", "too long"),
        (b'{"email": "a", "email": "b"}', "email", "twice"),
        (b'{"email": "a\\u0000b"}', "email", "NUL"),
        (b'{"email": {"b": ["\\ud800"]}}', "email.b.0", "surrogate"),
        (b'{"\\udfff": 1}', "", "surrogate"),
        (b'{"email": [1, NaN]}', "email.1", "finite"),
        (b'{"email": 1e999}', "email", "finite"),
    ],
)
async def test_a_body_is_json_that_means_one_thing(
    client: httpx.AsyncClient, is_problem: Problem, body: bytes, pointer: str, said: str
) -> None:
    """Anything else is refused with the place, before anybody reads it, at the old endpoints too."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await client.post(SIGN_IN, content=body, headers=headers)
    is_problem(answer, 422, "invalid_input")
    [error] = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert said in error["message"]
    old = await client.post("/functions/v1/onboard-gpu", content=body, headers=headers)
    assert (old.status_code, old.json()["errors"]) == (400, answer.json()["errors"])


async def test_a_body_that_is_not_called_json_is_refused(
    client: httpx.AsyncClient, is_problem: Problem
) -> None:
    """Forms, texts and bodies without a word are 415: a page of another site can send those unasked."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", None):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await client.post(SIGN_IN, content=b'{"email": "a"}', headers=headers)
        is_problem(answer, 415, "body_not_json")


async def test_a_slow_body_is_not_waited_for(is_problem: Problem) -> None:
    """408 after the time that is configured."""
    hanging = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        await hanging.wait()

    async with connect(without_database(body_seconds=0.05)) as client:
        answer = await client.post(SIGN_IN, content=pieces())
    is_problem(answer, 408, "body_too_slow")


async def test_addresses_are_bounded(client: httpx.AsyncClient, is_problem: Problem) -> None:
    """8 KiB of path and query, and no NUL that a database would choke on."""
    is_problem(await client.get("/v1/runs", params={"x": "a" * 8200}), 414, "address_too_long")
    is_problem(await client.get("/v1/runs?cursor=a%00b"), 422, "invalid_input")


async def test_only_configured_host_names_are_answered(is_problem: Problem) -> None:
    """Others get 400; probes may ask by address."""
    async with connect(without_database(allowed_hosts=["gpu.example", "*.gpu.example"])) as client:
        for host in ("gpu.example", "GPU.example:8000", "a.gpu.example"):
            answer = await client.get("/v1/runs", headers={"Host": host})
            is_problem(answer, 401, "not_authenticated")
        for host in ("evil.example", "notgpu.example", "gpu.example.evil", "[::1]:80", ""):
            answer = await client.get("/v1/runs", headers={"Host": host})
            is_problem(answer, 400, "wrong_host")
        assert (await client.get("/healthz", headers={"Host": "10.0.0.1"})).status_code == 200


async def test_answers_are_data_and_nothing_else(client: httpx.AsyncClient, app: FastAPI) -> None:
    """Not run, not framed, not guessed, not kept: good ones, refused ones, and those that nobody foresaw."""

    @app.get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError("its own words stay here")

    app.router.routes.insert(0, app.router.routes.pop())
    for path in ("/v1/runs", "/v1/nothing", "/v1/broken", "/healthz", "/openapi.json"):
        answer = await client.get(path, headers={"Origin": "https://elsewhere.example"})
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "strict-transport-security" not in headers
        # Any page may read what it has its own login for; a cookie of ours never counts there.
        assert headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in headers
        assert "own words" not in answer.text


async def test_a_fault_before_the_routes_is_answered_like_any_other(
    client: httpx.AsyncClient, is_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A problem with all that an answer carries."""

    async def broken(*_: object) -> bytes:
        raise RuntimeError("its own words stay here")

    monkeypatch.setattr(bodies, "whole", broken)
    answer = await client.post(SIGN_IN, json={}, headers={"Origin": "https://elsewhere.example"})
    is_problem(answer, 500, "internal_error")
    assert "own words" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_the_listing_may_be_embedded(client: httpx.AsyncClient) -> None:
    """By pages of any origin, its errors too."""
    path = "/v1/listing/5f0c2f5e-52b6-4f1e-9f0a-0a4f5d1f2a11/badge.svg"
    headers = (await client.get(path)).headers
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["access-control-allow-origin"] == "*"


async def test_with_a_public_https_address_browsers_stay_with_it() -> None:
    from dataclasses import replace

    from orchestrator.api.app import create_app

    plain = without_database()
    app = create_app(replace(plain.state.surface, public_url="https://gpu.example"))
    async with connect(app) as client:
        for path in ("/v1/nothing", "/instances"):
            told = (await client.get(path)).headers["strict-transport-security"]
            assert told == "max-age=31536000"


def test_the_document_tells_everything_of_every_operation(app: FastAPI) -> None:
    """An id and a sentence, errors with their shape, examples that fit, and what a repeated POST does."""
    document = app.openapi()
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids)) > 50
    for path, method, operation in operations(document):
        told = {status: resolved(document, each) for status, each in operation["responses"].items()}
        if path.startswith("/v1"):
            assert {"400", "406", "414", "429", "503"} <= set(told), operation["operationId"]
            assert {"401", "403"} <= set(told) or not operation.get("security")
            assert all("headers" in response for response in told.values())
        if method == "post":
            names = {resolved(document, each)["name"] for each in operation.get("parameters", [])}
            assert "Idempotency-Key" in names or operation["operationId"] in REPEATS
        sent = [operation.get("requestBody", {}), *told.values()]
        for media, content in (each for body in sent for each in body.get("content", {}).items()):
            if "json" in media and "problem" not in media and "OldProblem" not in str(content):
                schema = {**content["schema"], "components": document["components"]}
                examples = content.get("examples", {"": {"value": content.get("example")}})
                for example in examples.values():
                    value = resolved(document, example)["value"]
                    jsonschema_rs.validator_for(schema).validate(value)


def test_what_operations_share_is_told_once(app: FastAPI) -> None:
    """Refusals, headers, parameters and examples stand under `components`, and none of them for nothing."""
    document = app.openapi()
    text = json.dumps(document)
    for kind in ("responses", "headers", "parameters", "examples"):
        for name in document["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, name
    for *_, operation in operations(document):
        told = operation["responses"]
        assert all("$ref" in each for status, each in told.items() if status[0] in "45")
