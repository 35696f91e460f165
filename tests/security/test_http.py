"""The HTTP face under attack: every answer is one that the document foresees, and a POST sent again makes nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.attacks.ground import Ground
from bench.attacks.http import fuzzed, repeats
from orchestrator.api.surface import Surface
from orchestrator.cli import house
from orchestrator.database import idempotency

Answer = Callable[[Scope, Receive, Send], Any]
CREATE = house.create_app


@pytest.mark.timeout(300)
async def test_fuzzed_requests_get_answers_of_the_document(ground: Ground) -> None:
    """Whatever is sent to any operation: no 5xx, a known status, the right shape, and nothing without a login."""
    played = await fuzzed.play(ground, 100, seed=1)
    assert played.held, played.sentences
    assert (
        played.attempted > 300
    )  # one at least of each operation, and the bodies that no generator makes


async def _raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("nobody foresaw this")


async def _unknown_status(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"detail": "a teapot"}, 418)(scope, receive, send)


async def _wrong_type(scope: Scope, receive: Receive, send: Send) -> None:
    said = {"id": 7, "email": None, "created_at": "today", "supplier": []}
    await JSONResponse(said)(scope, receive, send)


async def _open_to_all(scope: Scope, receive: Receive, send: Send) -> None:
    said = {
        "id": "5f0c2f5e-52b6-4f1e-9f0a-0a4f5d1f2a11",
        "email": "a@b.example",
        "created_at": "2026-11-25T10:00:00Z",
        "supplier": None,
    }
    await JSONResponse(said)(scope, receive, send)


async def _lets_nobody_in(scope: Scope, receive: Receive, send: Send) -> None:
    said = {"type": "about:blank", "title": "No", "status": 401, "code": "not_authenticated"}
    await JSONResponse(said, 401, media_type="application/problem+json")(scope, receive, send)


@pytest.mark.parametrize(
    ("broken", "counted"),
    [
        (_raises, "5xx"),
        (_unknown_status, "schema_violations"),
        (_wrong_type, "schema_violations"),
        (_open_to_all, "schema_violations"),
    ],
)
async def test_the_fuzzer_notices(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, broken: Answer, counted: str
) -> None:
    """A handler that raises, a status or a shape that no document knows, and an operation without its login."""

    monkeypatch.setattr(house, "create_app", _answering("/v1/profile", broken))
    played = await fuzzed.play(ground, 10, seed=1, only=("getProfile",))
    assert played.must_be_zero[counted] > 0, played


async def test_an_api_that_lets_nobody_in_proves_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the supplier itself is refused, the fuzzer has not held, however well that is documented."""
    monkeypatch.setattr(house, "create_app", _answering("/v1/instances", _lets_nobody_in))
    played = await fuzzed.play(ground, 10, seed=1, only=("getProfile",))
    assert not any(played.must_be_zero.values()), played
    assert played.missed


def _answering(path: str, answer: Answer) -> Callable[[Surface], ASGIApp]:
    """The API, but for one path."""

    def create(surface: Surface) -> ASGIApp:
        whole = CREATE(surface)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            mine = scope["type"] == "http" and scope["path"] == path
            await (answer if mine else whole)(scope, receive, send)

        return app

    return create


@pytest.mark.timeout(120)
async def test_many_posts_with_one_key_make_one(ground: Ground) -> None:
    """Runs, instances, inventory and checks alike, however many are sent at once."""
    played = await repeats.play(ground, 40, seed=1)
    assert played.held, (played.sentences, played.missed)
    assert played.attempted == 3 * 4 * 40


async def test_repeats_are_noticed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where keys are not heeded, more than one is made."""

    async def unheeded(*_: object) -> None:
        return None

    monkeypatch.setattr(idempotency, "take", unheeded)
    played = await repeats.play(ground, 3, seed=1)
    assert played.must_be_zero["doubled"] > 0
