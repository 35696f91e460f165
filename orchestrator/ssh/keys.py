"""SSH keys: make a pair, take in what a supplier has, name a key by its fingerprint."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from dataclasses import dataclass, field
from typing import Final

import asyncssh

from orchestrator.domain.errors import CredentialUnusable

COMMENT: Final = "harborx"
LONGEST_KEY: Final = 32 * 1024
LONGEST_HOST_KEY: Final = 4096  # characters of its line; RSA of 16,384 bits has 2,750

_PEM: Final = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY)-----\s*\n(?P<body>.+?)\n\s*"
    r"-----END (?P=kind)-----",
    re.DOTALL,
)
_PUBLIC: Final = re.compile(
    r"(ssh-|ecdsa-|sk-)\S+ AAAA|-----BEGIN [A-Z0-9 ]*PUBLIC KEY-----|---- BEGIN SSH2 PUBLIC KEY"
)
_OPENSSH_MAGIC: Final = b"openssh-key-v1\0"
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ALGORITHMS: Final = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-")
# Each costs about 10 ms; a key that asks for billions would hold a core for days.
_MOST_ROUNDS: Final = 256
_MOST_ITERATIONS: Final = 2_000_000
# asyncssh lets these through for bytes that are no key.
_DECODING_ERRORS: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class KeyPair:
    """
    `private_key` in OpenSSH format without passphrase, `public_key` as one line for
    authorized_keys, `fingerprint` as OpenSSH prints it.
    """

    private_key: str = field(repr=False)
    public_key: str
    fingerprint: str


def generate_key_pair() -> KeyPair:
    """A new Ed25519 pair."""
    return _pair(asyncssh.generate_private_key("ssh-ed25519"))


def import_private_key(text: str, passphrase: str | None = None) -> KeyPair:
    """
    The pair behind an OpenSSH or PEM (PKCS#1, PKCS#8, EC) private key. Costs up to two seconds
    of CPU when the key is encrypted.

    Raises `CredentialUnusable`; its detail says which case it is and holds nothing of the key.
    """
    found = _find_pem(text)
    encrypted = _is_encrypted(found)
    if encrypted and not passphrase:
        raise CredentialUnusable("The private key is encrypted and no passphrase was given.")
    key = _decode(found.group(0), passphrase if encrypted else None, encrypted)
    if not key.get_algorithm().startswith(_ALGORITHMS):
        raise CredentialUnusable("The key is neither Ed25519, ECDSA nor RSA.")
    return _pair(key)


def fingerprint(public_key: str) -> str:
    """
    "SHA256:..." of one OpenSSH public key line.

    Raises `ValueError` if it is none.
    """
    return asyncssh.import_public_key(public_key).get_fingerprint()


def host_key_fingerprint(text: str) -> str:
    """
    The fingerprint behind what people give for a host key: itself, a public key line, or one of known_hosts or of what
    ssh-keyscan prints.

    Raises `ValueError` if it is none of these.
    """
    words = text.split()
    if len(words) == 1 and _FINGERPRINT.fullmatch(words[0].rstrip("=")):
        return words[0].rstrip("=")
    for first in (0, 1):
        if len(words) > first + 1 and _PUBLIC.match(" ".join(words[first : first + 2])):
            return fingerprint(" ".join(words[first : first + 2]))
    raise ValueError("is neither a fingerprint (SHA256:...) nor a public key")


def one_line(key: asyncssh.SSHKey) -> str:
    """The public half as "type base64", without a comment."""
    kind, body = key.export_public_key("openssh").decode("ascii").split()[:2]
    return f"{kind} {body}"


def _find_pem(text: str) -> re.Match[str]:
    if len(text) > LONGEST_KEY:
        raise CredentialUnusable("The text is longer than any private key (32 KiB).")
    clean = text.replace("\r\n", "\n").strip()
    found = _PEM.search(clean) if clean.isascii() else None
    if found is not None:
        return found
    if _PUBLIC.match(clean):
        raise CredentialUnusable("This is the public key; the private key is the other file.")
    raise CredentialUnusable("The text is not a private key in OpenSSH or PEM format.")


def _is_encrypted(found: re.Match[str]) -> bool:
    if found["kind"] == "OPENSSH PRIVATE KEY":
        cipher, rounds = _openssh_encryption(found["body"])
        if rounds > _MOST_ROUNDS:
            raise CredentialUnusable(f"The key asks for more than {_MOST_ROUNDS} KDF rounds.")
        return cipher != b"none"
    if found["kind"] == "ENCRYPTED PRIVATE KEY":
        _refuse_long_derivation(found["body"])
        return True
    return "Proc-Type: 4,ENCRYPTED" in found["body"]


def _openssh_encryption(body: str) -> tuple[bytes, int]:
    """Name of the cipher and number of bcrypt rounds, read ahead of the parser that obeys them."""
    try:
        data = base64.b64decode(body)
        if not data.startswith(_OPENSSH_MAGIC):
            raise ValueError
        cipher, rest = _string(data[len(_OPENSSH_MAGIC) :])
        _, rest = _string(rest)
        options, _ = _string(rest)
        if not options:
            return cipher, 0
        _, count = _string(options)
        (rounds,) = struct.unpack(">I", count)
    except (ValueError, struct.error) as error:
        raise CredentialUnusable("The private key is damaged.") from error
    return cipher, rounds


def _string(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">I", data[:4])
    if length > len(data) - 4:
        raise ValueError
    return data[4 : 4 + length], data[4 + length :]


def _refuse_long_derivation(body: str) -> None:
    try:
        decoded = asyncssh.asn1.der_decode(base64.b64decode(body))
        longest = _largest_number(decoded[0])  # type: ignore[index]
    except (*_DECODING_ERRORS, binascii.Error) as error:
        raise CredentialUnusable("The private key is damaged.") from error
    if longest > _MOST_ITERATIONS:
        raise CredentialUnusable(f"The key asks for more than {_MOST_ITERATIONS} iterations.")


def _largest_number(value: object) -> int:
    if isinstance(value, tuple):
        return max(map(_largest_number, value), default=0)
    return value if isinstance(value, int) else 0


def _decode(pem: str, passphrase: str | None, encrypted: bool) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(pem + "\n", passphrase)
    except _DECODING_ERRORS as error:
        # `from None`: what the parser says may quote the key.
        if "bcrypt" in str(error):
            raise CredentialUnusable(
                "Encrypted OpenSSH keys can't be opened here: the package bcrypt is not installed."
            ) from None
        if encrypted:
            raise CredentialUnusable("The passphrase does not open the private key.") from None
        raise CredentialUnusable("The private key is damaged or of an unknown kind.") from None


def _pair(key: asyncssh.SSHKey) -> KeyPair:
    key.set_comment(COMMENT)
    return KeyPair(
        private_key=key.export_private_key("openssh").decode("ascii"),
        public_key=f"{one_line(key)} {COMMENT}",
        fingerprint=key.get_fingerprint(),
    )
