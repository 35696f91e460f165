"""The dashboard's files: every address that is not the API's is its page, and nothing else on the disk is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from orchestrator.api import pages, problems
from tests.api.conftest import connect

PAGE = "<!doctype html><title>the page</title>"
SECRET = "what lies beside the folder"


def _application(static: Path) -> FastAPI:
    app = FastAPI()
    problems.install(app)
    pages.install(app, static)
    return app


@pytest.fixture
def built(tmp_path: Path) -> FastAPI:
    """A server with a built dashboard, beside whose folder lies a secret."""
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text(PAGE)
    (static / "icon.svg").write_text("<svg/>")
    (static / "assets" / "index-abc123.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text(SECRET)
    return _application(static)


@pytest.fixture
async def client(built: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(built) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/instances", "/runs/5f1c?tab=log", "/sign-in?next=%2Fv1", "/v2/x"]
)
async def test_a_deep_link_gets_the_page(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"].startswith("text/html")


async def test_the_page_is_asked_for_each_time_and_runs_scripts_of_ours_only(
    client: httpx.AsyncClient,
) -> None:
    headers = (await client.get("/instances")).headers
    assert headers["cache-control"] == "no-cache"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"


async def test_what_is_no_path_is_no_fault_of_ours(built: FastAPI) -> None:
    """`GET x HTTP/1.1` is a request that anybody can write; it gets the page."""

    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await built({**scope, "path": "x"}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(bare)) as client:
        assert (await client.get("http://harborx.test/x")).text == PAGE


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/functions/nothing", "/healthz/x"])
async def test_an_address_of_the_api_is_never_the_page(
    client: httpx.AsyncClient, is_problem: Callable[[httpx.Response, int, str], None], path: str
) -> None:
    is_problem(await client.get(path), 404, "not_found")


async def test_files_with_a_hash_in_their_names_are_kept_for_ever(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/assets/index-abc123.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    # One of an older build: a page in its place would be run as a script, and kept.
    missing = await client.get("/assets/index-old.js")
    assert missing.status_code == 404
    assert "immutable" not in missing.headers.get("cache-control", "")


async def test_other_files_are_asked_for_each_time(client: httpx.AsyncClient) -> None:
    answer = await client.get("/icon.svg")
    assert (answer.status_code, answer.text) == (200, "<svg/>")
    assert answer.headers["cache-control"] == "no-cache"


async def test_only_the_head_can_be_asked_for(client: httpx.AsyncClient) -> None:
    answer = await client.head("/instances")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "//secret.txt",
        "/%2fetc%2fpasswd",
        "/secret.txt%00.svg",
    ],
)
async def test_nothing_outside_the_folder_is_told(built: FastAPI, path: str) -> None:
    told = await _raw(built, path)
    assert told == PAGE or "Not Found" in told


async def test_where_nothing_is_built_a_sentence_says_so(tmp_path: Path) -> None:
    async with connect(_application(tmp_path / "none")) as client:
        answer = await client.get("/instances")
        assert answer.status_code == 404
        assert answer.text.startswith("The dashboard is not built here.")


async def _raw(app: FastAPI, path: str) -> str:
    """The body of the answer to a path as it stands: a client tidies what it sends."""
    sent: list[Any] = []
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        while not asked:  # who asked stays for the answer
            await asyncio.sleep(60)
        return asked.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"harborx.test")],
    }
    await app(scope, receive, send)
    assert sent[0]["status"] in (200, 404)
    return b"".join(message.get("body", b"") for message in sent[1:]).decode()


async def test_a_path_of_any_length_looks_for_no_file(client: httpx.AsyncClient) -> None:
    """No file system is asked by a name that a client chose, and what the API does not know stays its 404."""
    answer = await client.get("/" + "a" * 300)
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert (await client.post("/v1/nothing")).status_code == 404
    assert (await client.post("/instances")).status_code == 404
