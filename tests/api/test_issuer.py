"""Any OIDC issuer: where its keys come from, how often it is asked, and who its users are here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from orchestrator.api.auth import Authenticator
from orchestrator.api.issuer import user_of
from orchestrator.api.published_keys import PublishedKeys
from orchestrator.domain.errors import ConfigError
from tests.api.conftest import Api, application, connect
from tests.api.test_auth import claims
from tests.conftest import Databases
from tests.local_http import Asked, serving

PRIVATE = ec.generate_private_key(ec.SECP256R1())
NEXT = ec.generate_private_key(ec.SECP256R1())
WEAK = rsa.generate_private_key(65537, 1024)


def published(key: ec.EllipticCurvePrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", **more}


class Provider:
    """An issuer at `url`; `answers` is what it says at each path."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.publish(published(PRIVATE, "one"))

    def publish(self, *keys: dict[str, Any]) -> None:
        self.answers["/jwks.json"] = (200, json.dumps({"keys": keys}).encode())

    def token(self, key: Any = PRIVATE, kid: str = "one", **changes: Any) -> str:
        said = claims(**{"iss": self.url, "sid": None, **changes})
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()

    def answer(asked: Asked) -> tuple[int, bytes]:
        made.asked.append(asked.path)
        return made.answers.get(asked.path, (404, b"{}"))

    with serving(answer, moved="/jwks.json") as made.url:
        yield made


@asynccontextmanager
async def federated(
    databases: Databases, provider: Provider, **auth: Any
) -> AsyncIterator[httpx.AsyncClient]:
    flags = {"issuer": provider.url, "issuer_jwks_url": f"{provider.url}/jwks.json", **auth}
    async with connect(application(databases.api, auth=flags)) as client:
        yield client


async def knock(client: httpx.AsyncClient, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (await client.get("/v1/profile", headers=headers)).status_code


class Clock:
    """Moved by hand, for how old the issuer's keys are."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        transport = client._transport
        assert isinstance(transport, httpx.ASGITransport)
        authenticator: Authenticator = transport.app.state.authenticator  # type: ignore[attr-defined]
        assert authenticator.issuer is not None
        self.now = 1000.0
        authenticator.issuer.keys.clock = lambda: self.now


async def test_an_unknown_key_makes_the_issuer_asked_once(
    databases: Databases, provider: Provider
) -> None:
    """Whoever names keys that there are not causes one question in half a minute; a new key is found after that."""
    async with federated(databases, provider) as client:
        clock = Clock(client)
        assert await knock(client, provider.token()) == 200
        tries = [knock(client, provider.token(kid=f"unknown {n}")) for n in range(20)]
        assert set(await asyncio.gather(*tries)) == {401}
        provider.publish(published(NEXT, "two"))
        assert await knock(client, provider.token(NEXT, "two")) == 401
        assert provider.asked == ["/jwks.json"]
        clock.now += PublishedKeys.PAUSE
        assert await knock(client, provider.token(NEXT, "two")) == 200
        assert await knock(client, provider.token()) == 401  # it is published no more
        assert provider.asked == ["/jwks.json"] * 2


async def test_an_issuer_that_is_away_is_believed_for_a_day(
    databases: Databases, provider: Provider
) -> None:
    """Its keys stay good while it can't be asked, and not for ever."""
    async with federated(databases, provider) as client:
        clock = Clock(client)
        assert await knock(client, provider.token()) == 200
        provider.answers["/jwks.json"] = (500, b"")
        clock.now += PublishedKeys.FRESH + 1
        assert await knock(client, provider.token()) == 200
        clock.now += PublishedKeys.OLDEST
        assert await knock(client, provider.token()) == 401
        assert provider.asked == ["/jwks.json"] * 3


@pytest.mark.parametrize(
    "answer",
    [
        (302, b""),
        (200, b"[]"),
        (200, b"{"),
        (200, b"[" * 100_000),
        (200, b"{}"),
        (200, json.dumps({"keys": "none"}).encode()),
        (200, json.dumps({"keys": [None, 1, {}, {"kty": "EC", "kid": "one"}]}).encode()),
        (200, json.dumps({"keys": [published(PRIVATE, "one")], "more": "x" * 300_000}).encode()),
    ],
    ids=["redirect", "list", "torn", "deep", "empty", "keys no list", "no keys", "too large"],
)
async def test_what_is_no_list_of_keys_gives_none(
    databases: Databases, provider: Provider, answer: tuple[int, bytes]
) -> None:
    """A redirect is not followed; what is too large, torn or something else lets nobody in and breaks nothing."""
    provider.answers["/other.json"] = answer
    url = f"{provider.url}/other.json"
    async with federated(databases, provider, issuer_jwks_url=url) as client:
        assert await knock(client, provider.token()) == 401
    assert provider.asked == ["/other.json"]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    ("key", "signer"),
    [
        (published(PRIVATE, "one", use="enc"), PRIVATE),
        (published(PRIVATE, "one", alg="HS256"), PRIVATE),
        (published(PRIVATE, "one", alg="ES384"), PRIVATE),
        ({**json.loads(RSAAlgorithm.to_jwk(WEAK.public_key())), "kid": "one"}, WEAK),
    ],
    ids=["for encryption", "for HMAC", "for another algorithm", "short RSA"],
)
async def test_unfit_keys_are_dropped(
    databases: Databases, provider: Provider, key: dict[str, Any], signer: Any
) -> None:
    """Only keys of a kind and strength for signing by ES256, RS256 or EdDSA count."""
    provider.publish(key)
    async with federated(databases, provider) as client:
        assert await knock(client, provider.token(signer)) == 401


async def test_the_discovery_document_tells_where_keys_are(
    databases: Databases, provider: Provider
) -> None:
    """Without issuer_jwks_url the issuer itself says where; a document in another's name does not count."""
    place = "/.well-known/openid-configuration"
    said = {"issuer": provider.url, "jwks_uri": f"{provider.url}/jwks.json"}
    for change, status in (
        ({}, 200),
        ({"issuer": "https://elsewhere.example"}, 401),
        ({"jwks_uri": "http://elsewhere.example/jwks.json"}, 401),
        ({"jwks_uri": None}, 401),
    ):
        provider.answers[place] = (200, json.dumps(said | change).encode())
        async with federated(databases, provider, issuer_jwks_url=None) as client:
            assert await knock(client, provider.token()) == status
    assert provider.asked[:2] == [place, "/jwks.json"]


async def test_plain_oidc_claims_no_role(databases: Databases, provider: Provider) -> None:
    """Where the setting says so a token needs no role; one that it claims is still no other than authenticated."""
    plain = provider.token(role=None)
    async with federated(databases, provider) as client:
        assert await knock(client, plain) == 401
    async with federated(databases, provider, issuer_requires_role=False) as client:
        assert await knock(client, plain) == 200
        for role in ("service_role", "anon", ["authenticated"], ""):
            assert await knock(client, provider.token(role=role)) == 401


async def test_a_subject_is_always_the_same_supplier(
    databases: Databases, provider: Provider
) -> None:
    """Whatever an issuer calls its users, each is one supplier here: UUIDs by themselves, others by issuer and name."""
    async with federated(databases, provider) as client:
        for subject in ("auth0|5f7c", "110169484474386276334", str(uuid4()).upper(), "a b"):
            ids = []
            for _ in range(2):
                headers = {"Authorization": f"Bearer {provider.token(sub=subject)}"}
                ids.append((await client.get("/v1/profile", headers=headers)).json()["id"])
            assert ids == [str(uuid5(NAMESPACE_URL, f"{provider.url} {subject}"))] * 2
        for subject in ("x" * 256, "a\nb", "\0"):
            assert await knock(client, provider.token(sub=subject)) == 401
    plain = uuid4()
    assert user_of("https://one.example", str(plain)) == plain
    assert user_of("https://one.example", "a") != user_of("https://two.example", "a")


async def test_no_issuer_vouches_for_an_account_of_ours(
    api: Api, databases: Databases, provider: Provider
) -> None:
    """A subject that is the id of an account with a password here is not let in."""
    ours = await api.sign_up()
    async with federated(databases, provider) as client:
        assert await knock(client, provider.token(sub=str(ours.user_id))) == 401
    assert (await ours.client.get("/v1/profile")).status_code == 200


@pytest.mark.parametrize(
    "auth",
    [
        {"issuer": "harborx", "issuer_secret": "x" * 32},
        {"issuer": "https://one.example", "issuer_secret": "short"},
        {
            "issuer": "https://one.example",
            "issuer_secret": "x" * 32,
            "issuer_jwks_url": "https://one.example/keys",
        },
        {"issuer": "https://one.example", "issuer_jwks_url": "http://one.example/keys"},
        {"issuer": "https://one.example", "issuer_jwks_url": "file:///etc/passwd"},
        {"issuer": "one"},
    ],
    ids=["our name", "short secret", "two families", "plain http", "no web address", "no address"],
)
def test_unsafe_settings_are_refused_at_the_start(databases: Databases, auth: Any) -> None:
    """The API does not start with an issuer that nobody could be sure of."""
    with pytest.raises(ConfigError):
        application(databases.api, auth=auth)
