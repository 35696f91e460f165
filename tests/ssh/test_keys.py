"""Keys: made, taken in, named."""

from __future__ import annotations

import base64
import struct
import subprocess
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from orchestrator.domain.errors import CredentialUnusable
from orchestrator.ssh.keys import fingerprint, generate_key_pair, import_private_key

KINDS = [
    ("ed25519", "RFC4716"),
    ("rsa", "RFC4716"),
    ("ecdsa", "RFC4716"),
    ("rsa", "PEM"),
    ("ecdsa", "PEM"),
    ("rsa", "PKCS8"),
    ("ecdsa", "PKCS8"),
]


def ssh_keygen(folder: Path, kind: str, layout: str, passphrase: str = "") -> tuple[str, str, str]:
    """Private key, public line and fingerprint as OpenSSH makes them; RFC4716 is its own format."""
    file = folder / "key"
    command = ["ssh-keygen", "-q", "-t", kind, "-m", layout, "-N", passphrase, "-f", str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{file}.pub"], check=True, capture_output=True, text=True
    )
    public = file.with_suffix(".pub").read_text()
    return file.read_text(), " ".join(public.split()[:2]), listed.stdout.split()[1]


def test_a_generated_pair_is_ed25519_and_hides_its_secret() -> None:
    """A new pair is Ed25519, commented harborx, and its repr shows nothing private."""
    pair = generate_key_pair()
    kind, _, comment = pair.public_key.split(" ")
    assert (kind, comment) == ("ssh-ed25519", "harborx")
    assert pair.fingerprint == fingerprint(pair.public_key)
    assert "PRIVATE" not in repr(pair)
    assert generate_key_pair() != pair


@pytest.mark.parametrize("passphrase", ["", "pass phrase ü"])
@pytest.mark.parametrize(("kind", "layout"), KINDS)
def test_what_openssh_writes_is_taken_in(
    tmp_path: Path, kind: str, layout: str, passphrase: str
) -> None:
    """Each format, encrypted or not, becomes an OpenSSH key without passphrase of the same pair."""
    text, public, name = ssh_keygen(tmp_path, kind, layout, passphrase)
    pair = import_private_key(text.replace("\n", "\r\n"), passphrase or None)
    assert pair.public_key == f"{public} harborx"
    assert pair.fingerprint == name
    assert pair.private_key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert import_private_key(pair.private_key).public_key == pair.public_key


@pytest.mark.parametrize(("kind", "layout"), [("rsa", "PEM"), ("rsa", "PKCS8")])
@pytest.mark.parametrize("passphrase", [None, "", "wrong"])
def test_an_encrypted_key_says_whether_the_passphrase_lacks_or_is_wrong(
    tmp_path: Path, kind: str, layout: str, passphrase: str | None
) -> None:
    """The two mistakes with a passphrase are told apart."""
    text, _, _ = ssh_keygen(tmp_path, kind, layout, "right")
    with pytest.raises(CredentialUnusable) as caught:
        import_private_key(text, passphrase)
    expected = "does not open" if passphrase else "no passphrase was given"
    assert expected in caught.value.detail
    _holds_nothing_of(text, caught.value)


@pytest.mark.parametrize("passphrase", [None, "wrong"])
def test_an_encrypted_openssh_key_too(tmp_path: Path, passphrase: str | None) -> None:
    """The two mistakes are told apart for OpenSSH's own encryption."""
    text, _, _ = ssh_keygen(tmp_path, "ed25519", "RFC4716", "right")
    with pytest.raises(CredentialUnusable) as caught:
        import_private_key(text, passphrase)
    expected = "does not open" if passphrase else "no passphrase was given"
    assert expected in caught.value.detail


def test_a_public_key_is_recognised() -> None:
    """Pasting the wrong one of two files gets the advice to take the other."""
    pair = generate_key_pair()
    key = asyncssh.import_private_key(pair.private_key)
    for layout in ("openssh", "pkcs8-pem", "rfc4716"):
        with pytest.raises(CredentialUnusable, match="public key"):
            import_private_key(key.export_public_key(layout).decode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2-secret",
        "0" * 100,
        "\x30\x03\x02\x01\x00",
        "ünïcode",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
        "-----BEGIN XYZ PRIVATE KEY-----\nMAMCAQA=\n-----END XYZ PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----",
    ],
)
def test_what_is_no_private_key_is_refused_without_an_echo(text: str) -> None:
    """Anything else is refused as a credential, and the refusal quotes nothing of it."""
    with pytest.raises(CredentialUnusable) as caught:
        import_private_key(text, "passphrase")
    _holds_nothing_of(text, caught.value)


def test_a_damaged_key_is_refused_without_an_echo(tmp_path: Path) -> None:
    """Half a key is refused, and the refusal quotes nothing of it."""
    text, _, _ = ssh_keygen(tmp_path, "rsa", "PEM")
    lines = text.splitlines()
    half = "\n".join(lines[:8] + lines[-1:])
    with pytest.raises(CredentialUnusable) as caught:
        import_private_key(half)
    _holds_nothing_of(half, caught.value)


def test_the_size_is_bounded() -> None:
    """More than 32 KiB is not even looked at."""
    with pytest.raises(CredentialUnusable, match="longer"):
        import_private_key("-----BEGIN" + "A" * 32768)


def test_a_key_that_asks_for_endless_work_is_refused() -> None:
    """The number of KDF rounds is read and refused before anything obeys it."""

    def string(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    options = string(b"s" * 16) + struct.pack(">I", 4_000_000_000)
    body = b"openssh-key-v1\0" + string(b"aes256-ctr") + string(b"bcrypt") + string(options)
    body += struct.pack(">I", 1) + string(b"") + string(b"x" * 64)
    name = "OPENSSH PRIVATE KEY"
    text = f"-----BEGIN {name}-----\n{base64.b64encode(body).decode()}\n-----END {name}-----\n"
    with pytest.raises(CredentialUnusable, match="rounds"):
        import_private_key(text, "passphrase")


def test_a_pem_that_asks_for_endless_work_is_refused(tmp_path: Path) -> None:
    """The number of PBKDF2 iterations is read and refused before anything obeys it."""
    text, _, _ = ssh_keygen(tmp_path, "rsa", "PKCS8", "right")
    with pytest.raises(CredentialUnusable, match="iterations"):
        import_private_key(_with_iterations(text, 2_000_000_000), "right")


def test_only_key_types_that_servers_accept_are_taken() -> None:
    """A DSA key is refused when it is stored, not when the first run fails."""
    key = asyncssh.generate_private_key("ssh-dss")
    with pytest.raises(CredentialUnusable, match="neither"):
        import_private_key(key.export_private_key("pkcs1-pem").decode())


def _with_iterations(text: str, count: int) -> str:
    lines = text.splitlines()
    decoded: Any = asyncssh.asn1.der_decode(base64.b64decode("".join(lines[1:-1])))
    (pbes2, ((kdf, (salt, _, *rest)), cipher)), data = decoded
    changed = ((pbes2, ((kdf, (salt, count, *rest)), cipher)), data)
    body = base64.b64encode(asyncssh.asn1.der_encode(changed)).decode()
    return "\n".join([lines[0], body, lines[-1], ""])


def _holds_nothing_of(text: str, error: BaseException) -> None:
    said = f"{error!r} {error} {error.__cause__!r}"
    for line in text.splitlines():
        assert len(line) < 6 or line.startswith("--") or line not in said
