"""
Forged credentials, drawn by a seeded generator from valid ones: each is refused wherever it is shown.

Some are rightly signed, as only our own mistakes or another issuer's would be, and wrong in what they say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import random
import string
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from bench.attacks.tokens.installation import (
    ISSUER,
    KID,
    PUBLISHED_SECRET,
    SECRET,
    Installation,
    Supplier,
    claims,
    ours,
)

Forge = Callable[["Forger"], str]

_NONE: Final[tuple[Any, ...]] = (
    "none",
    "None",
    "NONE",
    "nOnE",
    "none ",
    "",
    None,
    [],
    ["none"],
    {"alg": "none"},
    0,
)
_KIDS: Final[tuple[Any, ...]] = (
    "../../../../dev/null",
    "/dev/null",
    "file:///proc/self/environ",
    "one' OR '1'='1",
    "x' UNION SELECT 'secret' --",
    "one\0",
    "\0",
    "\uff2f\uff2e\uff25",
    "one\u202e",
    "one" * 1500,
    "",
    None,
    ["one"],
    {"kid": "one"},
    1,
    True,
    "oct",
    "two",
    "__class__",
)
_ODD: Final[tuple[Any, ...]] = ([], {}, [[]], 0, -1, True, False, 1.5, "", " ", "\0", "null", "0")
_SECRETS: Final = (
    b"",
    b"secret",
    b"harborx",
    b"null",
    SECRET[:-1].encode(),
    SECRET.upper().encode(),
)
_ALPHABET: Final = string.ascii_letters + string.digits


@dataclass
class Forger:
    """What forgeries are made of; `attackers` is a key pair of the attacker's own."""

    world: Installation
    rng: random.Random
    attackers: ec.EllipticCurvePrivateKey

    @property
    def victim(self) -> Supplier:
        return self.rng.choice(self.world.suppliers)

    def mine(self, victim: Supplier, **changes: Any) -> dict[str, Any]:
        """The claims of a victim's live session, or of the issuer's user."""
        if self.rng.random() < 0.5:
            return claims(sub=str(victim.user_id), sid=str(victim.session_id), **changes)
        far = jwt.decode(victim.external, options={"verify_signature": False})
        return {**far, **changes}

    def rightly_signed(self, said: dict[str, Any], **header: Any) -> str:
        if said.get("iss") == "harborx":
            return jwt.encode(said, SECRET, algorithm="HS256", headers=header)
        return self.world.issuer.signed(said, **header)


def forged(forger: Forger) -> tuple[str, str]:
    """The kind of it, and the credential: never one that is valid."""
    while True:
        kind = forger.rng.choice(list(KINDS))
        credential = KINDS[kind](forger)
        if credential.strip() not in forger.world.valid:  # HTTP strips blanks around a value
            return kind, credential


def _segment(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value, allow_nan=True).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _sealed(header: Any, said: Any, secret: bytes, digest: Any = hashlib.sha256) -> str:
    text = f"{_segment(header)}.{_segment(said)}"
    return f"{text}.{_segment(hmac.new(secret, text.encode(), digest).digest())}"


def _unsigned(f: Forger) -> str:
    header: dict[str, Any] = {"alg": f.rng.choice(_NONE), "typ": "JWT", "kid": KID}
    if f.rng.random() < 0.1:
        del header["alg"]
    victim = f.victim
    text = f"{_segment(header)}.{_segment(f.mine(victim))}"
    return (
        text + "." + f.rng.choice(("", "AA", victim.token.rpartition(".")[2], _segment(b"\0" * 64)))
    )


def _public_key_as_secret(f: Forger) -> str:
    public = f.world.issuer.private.public_key()
    Encoding, Format = serialization.Encoding, serialization.PublicFormat  # noqa: N806
    pem = public.public_bytes(Encoding.PEM, Format.SubjectPublicKeyInfo)
    jwk = json.loads(ECAlgorithm.to_jwk(public))
    full = {**jwk, "kid": KID, "use": "sig", "alg": "ES256"}
    secret = f.rng.choice(
        [
            *(pem, pem.strip(), pem.replace(b"\n", b"\r\n"), pem.replace(b"\n", b"")),
            public.public_bytes(Encoding.DER, Format.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.X962, Format.UncompressedPoint),
            *(json.dumps(each).encode() for each in (jwk, full, {"keys": [full]})),
            *(
                json.dumps(each, separators=(",", ":"), sort_keys=True).encode()
                for each in (jwk, full)
            ),
            *(jwk["x"].encode(), jwk["y"].encode(), base64.urlsafe_b64decode(jwk["x"] + "=")),
            *(PUBLISHED_SECRET, _segment(PUBLISHED_SECRET).encode()),
        ]
    )
    if f.rng.random() < 0.2:  # as the issuer itself might have meant it
        far = jwt.decode(f.victim.external, options={"verify_signature": False})
        return _sealed({"alg": "HS256", "typ": "JWT", "kid": "oct"}, far, PUBLISHED_SECRET)
    name, digest = f.rng.choice(
        (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512))
    )
    header = {"alg": name, "typ": "JWT", "kid": f.rng.choice((KID, "oct"))}
    return _sealed(header, f.mine(f.victim) | {"iss": ISSUER}, secret, digest)


def _brought_key(f: Forger) -> str:
    public = json.loads(ECAlgorithm.to_jwk(f.attackers.public_key()))
    place = f.world.issuer.url.replace("jwks.json", f"attackers-{f.rng.randrange(10)}.json")
    header: dict[str, Any] = f.rng.choice(
        [
            {"jwk": {**public, "kid": KID}},
            {"jku": place},
            {"x5u": place},
            {"x5c": [base64.b64encode(b"no certificate").decode()]},
            {"jwk": {"kty": "oct", "k": _segment(b"attackers")}, "jku": place},
        ]
    )
    said = f.mine(f.victim)
    if f.rng.random() < 0.3:
        return _sealed({"alg": "HS256", "kid": KID, **header}, said, b"attackers")
    headers = {"kid": f.rng.choice((KID, "attackers")), **header}
    return jwt.encode(said, f.attackers, algorithm="ES256", headers=headers)


def _extension(f: Forger) -> str:
    header: dict[str, Any] = f.rng.choice(
        (
            {"crit": ["exp"]},
            {"crit": ["b64"], "b64": False},
            {"crit": ["http://openbanking.org.uk/iat"]},
            {"crit": []},
            {"crit": "exp"},
            {"crit": None},
            {"b64": False},
            {"typ": "logout+jwt"},
            {"typ": "dpop+jwt"},
        )
    )
    said = f.mine(f.victim)
    if said["iss"] != "harborx":
        try:
            return f.world.issuer.signed(said, **header)
        except (jwt.PyJWTError, TypeError):  # what PyJWT itself does not write
            said = claims(sub=str(f.victim.user_id), sid=str(f.victim.session_id))
    return _sealed({"alg": "HS256", "typ": "JWT", **header}, said, SECRET.encode())


def _key_name(f: Forger) -> str:
    header: dict[str, Any] = {"alg": "HS256", "typ": "JWT", "kid": f.rng.choice(_KIDS)}
    if f.rng.random() < 0.5:
        return _sealed(header, f.mine(f.victim) | {"iss": ISSUER}, f.rng.choice(_SECRETS))
    text = f"{_segment({**header, 'alg': 'ES256'})}.{_segment(f.mine(f.victim) | {'iss': ISSUER})}"
    signature = f.attackers.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    return f"{text}.{_segment(signature[-64:])}"


def _wrong_claim(f: Forger) -> str:
    now, said = int(time.time()), f.mine(f.victim)
    changes: list[dict[str, Any]] = [
        *({"iss": each} for each in ("https://elsewhere.example", ISSUER + "/", "Harborx", None)),
        *({"aud": each} for each in ("anon", "Authenticated", None, ["anon"], "authenticated ")),
        *({"exp": each} for each in (now - 31, 0, -1, None, now - 10**6)),
        *({"nbf": each} for each in (now + 60, now + 10**7)),
        *({"iat": each} for each in (now + 60, now + 10**7)),
        *({"role": each} for each in ("service_role", "anon", "postgres", "Authenticated", None)),
        *({"role": each} for each in (["authenticated"], {"authenticated": 1}, "authenticated\0")),
        *({"sub": each} for each in (None, "x" * 5000)),
    ]
    if said["iss"] == "harborx":
        changes += [
            *(
                {"sid": each}
                for each in (None, str(uuid4()), str(UUID(int=0)), "one", "' OR 1=1 --")
            ),
            *({"sub": each} for each in ("admin", str(uuid4()), str(UUID(int=0)), "service_role")),
        ]
    change = f.rng.choice(changes)
    if change.get("iss", said["iss"]) != said["iss"]:
        key: Any = SECRET if said["iss"] == "harborx" else f.world.issuer.private
        algorithm = "HS256" if said["iss"] == "harborx" else "ES256"
        wrong = {name: value for name, value in (said | change).items() if value is not None}
        return jwt.encode(wrong, key, algorithm=algorithm, headers={"kid": KID})
    return f.rightly_signed({n: v for n, v in (said | change).items() if v is not None})


def _wrong_type(f: Forger) -> str:
    said = claims(sub=str(f.victim.user_id), sid=str(f.victim.session_id))
    name = f.rng.choice(("iss", "aud", "role", "sub", "sid", "exp"))
    odd = [*_ODD, [said[name]], {"0": said[name]}, float("inf"), float("nan")]
    if name == "aud":
        odd.remove([said[name]])  # a list of audiences is what the standard allows
    if name == "exp":
        odd = [value for value in odd if not _later(value)]
    header: Any = {"alg": "HS256", "typ": "JWT"}
    if f.rng.random() < 0.2:
        header = f.rng.choice(_ODD)
    payload: Any = said | {name: f.rng.choice(odd)}
    if f.rng.random() < 0.1:
        payload = f.rng.choice((*_ODD, b"[" * 5000, b'{"iss":' * 800, b"\xff\xfe", b""))
    return _sealed(header, payload, SECRET.encode())


def _later(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1e9 < value < 1e300


def _flipped(f: Forger) -> str:
    parts = f.rng.choice((f.victim.token, f.victim.external)).split(".")
    place = f.rng.randrange(3)
    data = bytearray(base64.urlsafe_b64decode(parts[place] + "=" * (-len(parts[place]) % 4)))
    for _ in range(f.rng.choice((1, 1, 1, 2, 8))):
        data[f.rng.randrange(len(data))] ^= 1 << f.rng.randrange(8)
    parts[place] = _segment(bytes(data))
    return ".".join(parts)


def _misshapen(f: Forger) -> str:
    token = f.rng.choice((f.victim.token, f.victim.external))
    first, second, third = token.split(".")
    cut = f.rng.randrange(1, len(token))
    padded = ".".join(part + "=" * (-len(part) % 4) for part in (first, second, third))
    pad = f.rng.choice(("=", "==", ".", "..", "\0", "\n", "%00", "/", "+", "é", "A"))
    return f.rng.choice(
        [
            *(padded, f"{first}.{second}.{padded.rpartition('.')[2]}"),
            *(token[:cut], token[cut:], token[:cut] + token[cut + 1 :], token + pad, pad + token),
            *(f"{first}.{second}.{third}.{third}", f"{first}.{second}", f"{first}..{third}"),
            *(
                f"{first}.{first}.{third}",
                f"{second}.{second}.{third}",
                f"{first}.{second}{pad}.{third}",
            ),
            *(
                token + token,
                token.swapcase(),
                token[::-1],
                "a" * 9000,
                f"{first}==.{second}.{third}",
            ),
            _segment({"payload": second, "signatures": [{"protected": first, "signature": third}]}),
        ]
    )


def _swapped(f: Forger) -> str:
    one, two = f.rng.sample(f.world.suppliers, 2)
    kind = f.rng.choice(("token", "external"))
    mine, theirs = getattr(one, kind).split("."), getattr(two, kind).split(".")
    far = one.external.split(".")
    return f.rng.choice(
        [
            f"{mine[0]}.{theirs[1]}.{mine[2]}",
            f"{mine[0]}.{mine[1]}.{theirs[2]}",
            f"{far[0]}.{one.token.split('.')[1]}.{far[2]}",
            f"{one.token.split('.')[0]}.{far[1]}.{one.token.split('.')[2]}",
            ours(sub=str(one.user_id), sid=str(two.session_id)),
            ours(sub=str(two.user_id), sid=str(one.session_id)),
        ]
    )


def _elsewhere(f: Forger) -> str:
    secret = f.rng.choice((*_SECRETS, b"the-session-secret-of-another-installation-0123456789"))
    return _sealed({"alg": "HS256", "typ": "JWT"}, f.mine(f.victim), secret)


def _ended(f: Forger) -> str:
    victim = f.victim
    return f.rng.choice((victim.ended, victim.revoked, victim.expired))


def _one_of_ours(f: Forger) -> str:
    """The issuer vouches for somebody who has an account here."""
    return f.world.issuer.token(sub=str(f.victim.user_id))


def _mistyped_key(f: Forger) -> str:
    key, place = f.victim.key, f.rng.randrange(len(f.victim.key))
    other = f.rng.choice([each for each in _ALPHABET + "_-é\0 " if each != key[place]])
    return f.rng.choice(
        [
            *(key[:place] + other + key[place + 1 :] for _ in range(4)),
            *(
                key[:-1],
                key + "0",
                key[1:],
                key[:place] + key[place + 1 :],
                key.swapcase(),
                key + key,
            ),
            *(
                key.replace("hx_live_", each)
                for each in ("hx_test_", "HX_LIVE_", "hx_live", "", "hx__live_")
            ),
            *(
                key.replace("hx_live_", each)
                for each in ("hx_live_\0", "hx_live_' OR 1=1 --", "hx_live_%")
            ),
        ]
    )


def _recomputed_key(f: Forger) -> str:
    """Well-formed in every way: a real public id, and a secret that is not its own."""
    one, two = f.rng.sample(f.world.suppliers, 2)
    _, _, public_id, tail = one.key.split("_")
    secret = tail[:43]
    where = f.rng.randrange(43)
    wrong = f.rng.choice(
        (
            two.key.split("_")[3][:43],
            one.reading.split("_")[3][:43],
            one.submit_key.split("_")[3][:43],
            secret[:where]
            + f.rng.choice(_ALPHABET.replace(secret[where], ""))
            + secret[where + 1 :],
            "".join(f.rng.choices(_ALPHABET, k=43)),
            secret[::-1],
        )
    )
    if f.rng.random() < 0.2:
        public_id = "".join(f.rng.choices(_ALPHABET, k=8))
    return f"hx_live_{public_id}_{wrong}{zlib.crc32(f'{public_id}_{wrong}'.encode()):08x}"


def _noise(f: Forger) -> str:
    data = f.rng.randbytes(f.rng.choice((0, 1, 16, 64, 3000)))
    return f.rng.choice((binascii.hexlify(data).decode(), _segment(data), data.decode("latin-1")))


KINDS: Final[dict[str, Forge]] = {
    "unsigned": _unsigned,
    "public key as secret": _public_key_as_secret,
    "key brought along": _brought_key,
    "extension": _extension,
    "key name": _key_name,
    "wrong claim": _wrong_claim,
    "wrong type": _wrong_type,
    "flipped bits": _flipped,
    "misshapen": _misshapen,
    "swapped": _swapped,
    "another installation": _elsewhere,
    "ended": _ended,
    "account of ours": _one_of_ours,
    "mistyped key": _mistyped_key,
    "recomputed key": _recomputed_key,
    "noise": _noise,
}
