"""Forged credentials, in short: none is let in, and without any one of the guards some are."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import jwt
import pytest

from bench.attacks.ground import Ground
from bench.attacks.tokens.attack import play
from bench.attacks.tokens.forgeries import KINDS
from orchestrator.api import published_keys, tokens
from orchestrator.api.auth import Authenticator, LiveSessions
from orchestrator.database import accounts, results
from orchestrator.domain.errors import NotAuthenticated
from orchestrator.runs import api_keys

Mutation = Callable[[pytest.MonkeyPatch], None]
SEED = 6


async def test_no_forged_credential_is_let_in(ground: Ground) -> None:
    """Of every kind some are tried, none is let in or makes a 5xx, and the valid ones in between are let in."""
    played = await play(ground, 1200, SEED)
    assert played.held, (played.must_be_zero, played.sentences, played.missed)
    assert played.attempted == 1200
    assert set(KINDS) <= set(played.figures["kinds"])
    assert played.figures["valid_let_in"] == 48


def without_signatures(patch: pytest.MonkeyPatch) -> None:
    def unverified(token: str, _: Any, **given: Any) -> Any:
        claims = {f"verify_{name}": True for name in ("exp", "nbf", "iat", "aud", "iss")}
        given["options"] = {**given["options"], **claims, "verify_signature": False}
        return jwt.decode_complete(token, **given)

    patch.setattr(tokens, "jwt", SimpleNamespace(**vars(jwt) | {"decode_complete": unverified}))


def with_two_families(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(published_keys, "_KINDS", {**published_keys._KINDS, "HS256": "oct"})


def without_sessions(patch: pytest.MonkeyPatch) -> None:
    async def holder(*_: Any) -> Any:
        return ANY

    patch.setattr(LiveSessions, "holder", holder)


def with_checksums_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(api_keys, "_digest", lambda _: bytes(32))


def without_binding(patch: pytest.MonkeyPatch) -> None:
    target = results.submission_target

    async def any_of_the_suppliers(session: Any, *given: Any, only: Any) -> Any:
        return await target(session, *given)

    patch.setattr(results, "submission_target", any_of_the_suppliers)


def without_our_accounts(patch: pytest.MonkeyPatch) -> None:
    async def ensure_profile(*_: Any) -> None:
        pass

    patch.setattr(accounts, "ensure_profile", ensure_profile)


def without_form(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokens, "_FORM", re.compile("(?s).*"))


def with_tokens_for_something_else(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokens, "_TYPES", tokens._TYPES | {"logout+jwt", "dpop+jwt"})


@pytest.mark.parametrize(
    "mutation",
    [
        *(without_signatures, with_two_families, without_sessions, with_checksums_only),
        *(without_binding, without_our_accounts, without_form, with_tokens_for_something_else),
    ],
)
async def test_each_guard_is_needed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, mutation: Mutation
) -> None:
    """With one guard taken out the same attack counts what was let in."""
    mutation(monkeypatch)
    played = await play(ground, 600, SEED)
    assert played.must_be_zero["forged"] > 0, played


async def test_a_server_that_lets_nobody_in_proves_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where valid credentials are refused as well, the attack has not held."""

    async def nobody(*_: Any) -> Any:
        raise NotAuthenticated

    monkeypatch.setattr(Authenticator, "caller", nobody)
    played = await play(ground, 50, SEED)
    assert played.must_be_zero["forged"] == 0
    assert not played.held
