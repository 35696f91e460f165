"""Who is let in: accounts, sessions, tokens of another issuer, API keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.api.conftest import PASSWORD, SESSION_SECRET, Api, Supplier, application, connect
from tests.conftest import Databases
from tests.local_http import Asked, serving

Problem = Callable[[httpx.Response, int, str], None]
ISSUER = "https://project.supabase.example/auth/v1"
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


async def test_signing_up_and_in(api: Api, is_problem: Problem) -> None:
    """An account opens with its password whatever the case of its address, and its session works."""
    made = await api.sign_up("Someone@Example.com")
    profile = (await made.client.get("/v1/profile")).json()
    assert (profile["id"], profile["email"]) == (str(made.user_id), "someone@example.com")
    assert profile["supplier"] is None
    login = {"email": "SOMEONE@example.com", "password": PASSWORD}
    answer = await api.client.post("/v1/auth/sign-in", json=login)
    assert (answer.status_code, answer.json()["user_id"]) == (200, str(made.user_id))
    for wrong in (
        {"password": PASSWORD + "!"},
        {"email": "nobody@example.com"},
        {"email": "no address"},
    ):
        answer = await api.client.post("/v1/auth/sign-in", json=login | wrong)
        is_problem(answer, 401, "not_authenticated")
        assert "E-mail address or password is wrong" in answer.json()["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"
    is_problem(await api.client.post("/v1/auth/sign-up", json=login), 409, "account_exists")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"password": "ninechars"}, 400, "invalid_input"),
        ({"password": "x" * 201}, 422, "invalid_input"),
        ({"email": "nowhere"}, 400, "invalid_input"),
        ({"email": "a\0b@example.com"}, 422, "invalid_input"),
        ({"email": "x" * 300 + "@example.com"}, 422, "invalid_input"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_bad_account_is_not_made(
    api: Api, is_problem: Problem, change: dict[str, str], status: int, code: str
) -> None:
    """Short passwords and what is no address are refused, and the answer repeats neither."""
    login = {"email": "new@example.com", "password": PASSWORD, **change}
    answer = await api.client.post("/v1/auth/sign-up", json=login)
    is_problem(answer, status, code)
    assert change.get("password", "-never-") not in answer.text


async def test_signing_up_can_be_turned_off(databases: Databases, is_problem: Problem) -> None:
    """Where auth.sign_up is false nobody makes an account."""
    async with connect(application(databases.api, auth={"sign_up": False})) as client:
        login = {"email": "new@example.com", "password": PASSWORD}
        is_problem(await client.post("/v1/auth/sign-up", json=login), 403, "not_allowed")


def claims(**changes: Any) -> dict[str, Any]:
    said = {
        "iss": "harborx",
        "aud": "authenticated",
        "role": "authenticated",
        "sub": str(uuid4()),
        "sid": str(uuid4()),
        "exp": datetime.now(UTC) + timedelta(hours=1),
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def signed(secret: str = SESSION_SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm=algorithm)


def unsigned(**changes: Any) -> str:
    return jwt.encode(claims(**changes), None, algorithm="none")


def hs256_with(key: bytes, **changes: Any) -> str:
    """HS256 under any bytes, as an attacker would: PyJWT itself refuses to sign with a public key."""
    said = claims(**changes) | {"exp": int(datetime.now(UTC).timestamp()) + 3600}
    parts = [{"alg": "HS256", "typ": "JWT", "kid": "one"}, said]
    text = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_base64url(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


PAST = datetime.now(UTC) - timedelta(minutes=5)
BAD: dict[str, Callable[[dict[str, str]], str]] = {
    "unsigned": lambda mine: unsigned(**mine),
    "another secret": lambda mine: signed("another-secret-of-sufficient-length-000", **mine),
    "another algorithm": lambda mine: signed(algorithm="HS512", **mine),
    "another issuer": lambda mine: signed(iss="https://elsewhere.example", **mine),
    "no issuer": lambda mine: signed(iss=None, **mine),
    "expired": lambda mine: signed(exp=PAST, **mine),
    "never expires": lambda mine: signed(exp=None, **mine),
    "another audience": lambda mine: signed(aud="other", **mine),
    "no audience": lambda mine: signed(aud=None, **mine),
    "service role": lambda mine: signed(role="service_role", **mine),
    "anon": lambda mine: signed(role="anon", **mine),
    "no role": lambda mine: signed(role=None, **mine),
    "no subject": lambda mine: signed(**mine | {"sub": None}),
    "subject is no id": lambda mine: signed(**mine | {"sub": "admin"}),
    "no session": lambda mine: signed(**mine | {"sid": None}),
    "session is no id": lambda mine: signed(**mine | {"sid": "one"}),
    "unknown session": lambda mine: signed(**mine | {"sid": str(uuid4())}),
    "another's session": lambda mine: signed(**mine | {"sub": str(uuid4())}),
    "list": lambda _: "W10.W10.W10",
    "garbage": lambda _: "a.b.c",
    "enormous": lambda _: "a" * 9000,
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
async def test_a_bad_token_is_nobody(
    api: Api, supplier: Supplier, is_problem: Problem, token: Callable[[dict[str, str]], str]
) -> None:
    """Unsigned, foreign, expired and incomplete tokens are 401, also of a supplier with a live session."""
    mine = {"sub": str(supplier.user_id), "sid": supplier.session_id}
    headers = {"Authorization": f"Bearer {token(mine)}"}
    is_problem(await api.client.get("/v1/profile", headers=headers), 401, "not_authenticated")


async def test_a_session_is_what_the_bad_tokens_are_measured_against(supplier: Supplier) -> None:
    """The same claims, rightly signed, are let in: each refusal above has its own cause."""
    token = signed(sub=str(supplier.user_id), sid=supplier.session_id)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await supplier.api.client.get("/v1/profile", headers=headers)).status_code == 200


@pytest.fixture(scope="module")
def jwks_url() -> Iterator[str]:
    """An issuer's published keys: an ES256 one, and the shared secret that some publish by mistake."""
    public = json.loads(ECAlgorithm.to_jwk(PRIVATE.public_key()))
    keys = [
        {**public, "kid": "one", "use": "sig", "alg": "ES256"},
        {"kty": "oct", "kid": "oct", "k": _base64url(b"published-secret" * 2), "alg": "HS256"},
    ]

    def answer(_: Asked) -> tuple[int, bytes]:
        return 200, json.dumps({"keys": keys}).encode()

    with serving(answer) as url:
        yield f"{url}/jwks.json"


@pytest.fixture
async def federated(databases: Databases, jwks_url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = application(databases.api, auth={"issuer": ISSUER, "issuer_jwks_url": jwks_url})
    async with app.router.lifespan_context(app), connect(app) as client:
        yield client


def external(**changes: Any) -> str:
    said = claims(**{"iss": ISSUER, "email": "far@example.com", **changes})
    return jwt.encode(said, PRIVATE, algorithm="ES256", headers={"kid": "one"})


async def test_an_issuers_user_gets_a_profile(federated: httpx.AsyncClient) -> None:
    """A valid token of the configured issuer is let in, also for the old endpoints, from the first time on."""
    sub = str(uuid4())
    headers = {"Authorization": f"Bearer {external(sub=sub)}"}
    for _ in range(2):
        profile = (await federated.get("/v1/profile", headers=headers)).json()
        assert (profile["id"], profile["email"]) == (sub, "far@example.com")
    body = {"instance_id": "one", "ssh_host": "h"}
    answer = await federated.post("/functions/v1/onboard-gpu", json=body, headers=headers)
    assert answer.json()["gpu_instance"]["user_id"] == sub


@pytest.mark.parametrize(
    "token",
    [
        lambda: hs256_with(PUBLIC_PEM, iss=ISSUER),
        lambda: hs256_with(PUBLIC_PEM.strip(), iss=ISSUER),
        lambda: jwt.encode(
            claims(iss=ISSUER), "published-secret" * 2, algorithm="HS256", headers={"kid": "oct"}
        ),
        lambda: signed(iss=ISSUER),
        lambda: unsigned(iss=ISSUER),
        lambda: external(exp=PAST),
        lambda: external(aud="other"),
        lambda: external(role="service_role"),
        lambda: external(sub=None),
        lambda: external(iss="harborx"),
        lambda: jwt.encode(
            claims(iss=ISSUER),
            ec.generate_private_key(ec.SECP256R1()),
            algorithm="ES256",
            headers={"kid": "one"},
        ),
        lambda: jwt.encode(claims(iss=ISSUER), PRIVATE, algorithm="ES256", headers={"kid": "two"}),
    ],
    ids=[
        *("public key as secret", "the same, stripped", "published oct key", "our secret"),
        *("unsigned", "expired", "audience", "service role", "no subject", "as ours"),
        *("another key", "unknown kid"),
    ],
)
async def test_an_issuer_has_one_family_of_algorithms(
    federated: httpx.AsyncClient, is_problem: Problem, token: Any
) -> None:
    """With published keys configured no HMAC counts for that issuer, nor anything else than its own signature."""
    headers = {"Authorization": f"Bearer {token()}"}
    is_problem(await federated.get("/v1/profile", headers=headers), 401, "not_authenticated")


async def test_an_issuer_with_a_shared_secret(databases: Databases) -> None:
    """An issuer configured with its secret is believed under that secret only."""
    secret = "the-issuers-shared-secret-0123456789abc"
    flags = {"issuer": ISSUER, "issuer_secret": secret}
    async with connect(application(databases.api, auth=flags)) as client:
        for token, status in (
            (signed(secret, iss=ISSUER), 200),
            (external(), 401),
            (signed(iss=ISSUER), 401),
        ):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/v1/profile", headers=headers)).status_code == status


async def test_a_key_is_shown_once(supplier: Supplier, other: Supplier) -> None:
    """A key works as bearer and as x-api-key, is listed without itself, and is its owner's to revoke only."""
    key = await supplier.key()
    client = supplier.api.client
    for headers in ({"x-api-key": key}, {"Authorization": f"Bearer {key}"}):
        assert (await client.get("/v1/profile", headers=headers)).json()["email"] == supplier.email
    listed = await supplier.client.get("/v1/api-keys")
    (shown,) = listed.json()
    assert key.rsplit("_", 1)[1] not in listed.text
    assert shown["last_used_at"] is not None
    assert (await other.client.get("/v1/api-keys")).json() == []
    assert (await other.client.delete(f"/v1/api-keys/{shown['id']}")).status_code == 404
    assert (await supplier.client.delete(f"/v1/api-keys/{shown['id']}")).status_code == 204
    assert (await supplier.client.delete(f"/v1/api-keys/{shown['id']}")).status_code == 404
    assert (await client.get("/v1/profile", headers={"x-api-key": key})).status_code == 401


async def test_scopes_are_enforced(supplier: Supplier, is_problem: Problem) -> None:
    """A key does what its scopes say, makes no stronger key, and nothing else."""
    instance = await supplier.onboard()
    client = supplier.api.client
    read = {"x-api-key": await supplier.key("read")}
    test = {"x-api-key": await supplier.key("test")}
    submit = {"x-api-key": await supplier.key("submit")}
    runs = f"/v1/instances/{instance['id']}/runs"
    assert (await client.get("/v1/instances", headers=read)).status_code == 200
    is_problem(await client.post(runs, headers=read), 403, "not_allowed")
    is_problem(await client.get("/v1/instances", headers=submit), 403, "not_allowed")
    assert (await client.post(runs, headers=test)).status_code == 202
    body = {"name": "more", "scopes": ["read"]}
    is_problem(await client.post("/v1/api-keys", json=body, headers=test), 403, "not_allowed")
    is_problem(await client.post("/v1/api-keys", json=body, headers=read), 403, "not_allowed")
    payload = {"gpu_instance_id": instance["id"]}
    answer = await client.post("/functions/v1/submit-test-results", json=payload, headers=read)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_allowed")
    body = {"name": "x", "scopes": ["everything"]}
    is_problem(await supplier.client.post("/v1/api-keys", json=body), 422, "invalid_input")
    body = {"name": "a\0b", "scopes": ["read"]}
    is_problem(await supplier.client.post("/v1/api-keys", json=body), 422, "invalid_input")


async def test_expired_and_mistyped_keys_are_nobody(
    supplier: Supplier, is_problem: Problem
) -> None:
    """After its time, and with any character changed, a key is refused."""
    key = await supplier.key("read", expires_in_days=1)
    swapped = f"{key[:-12]}{'A' if key[-12] != 'A' else 'B'}{key[-11:]}"
    for wrong in (key[:-1], key + "0", key.upper(), swapped, key.replace("hx_live_", "hx_live_A")):
        answer = await supplier.api.client.get("/v1/profile", headers={"x-api-key": wrong})
        is_problem(answer, 401, "not_authenticated")
        if wrong is swapped:  # seen without asking the database
            assert "mistyped" in answer.json()["detail"]
    with psycopg.connect(supplier.api.databases.logins.owner) as connection:
        connection.execute("UPDATE api_keys SET expires_at = now()")
    answer = await supplier.api.client.get("/v1/profile", headers={"x-api-key": key})
    is_problem(answer, 401, "not_authenticated")


async def test_a_forged_key_is_nobody(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """A well-formed key with a real public id and another key's secret opens nothing."""
    mine, theirs = await supplier.key(), await other.key()
    public_id, secret = theirs.split("_")[2], mine.split("_")[3][:43]
    checksum = f"{zlib.crc32(f'{public_id}_{secret}'.encode()):08x}"
    forged = {"x-api-key": f"hx_live_{public_id}_{secret}{checksum}"}
    answer = await supplier.api.client.get("/v1/profile", headers=forged)
    is_problem(answer, 401, "not_authenticated")
    assert "unknown" in answer.json()["detail"]


async def test_the_service_role_is_no_supplier(api: Api, is_problem: Problem) -> None:
    """A service-role key submits results; it reads nobody's rows."""
    headers = {"x-api-key": await api.service_key()}
    is_problem(await api.client.get("/v1/instances", headers=headers), 403, "not_allowed")
