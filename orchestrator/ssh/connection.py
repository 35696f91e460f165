"""Log in to a machine whose host key is known, under a deadline for every phase."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncssh
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from orchestrator.domain.errors import (
    CredentialUnusable,
    HostKeyChanged,
    HostUnreachable,
    LoginRefused,
)
from orchestrator.ssh.addresses import (
    UNREACHABLE,
    AddressPolicy,
    Endpoint,
    handshake_ended,
    open_socket,
)
from orchestrator.ssh.host_key_witness import Announced, HostKeyWitness
from orchestrator.ssh.keys import LONGEST_HOST_KEY, one_line
from orchestrator.ssh.meter import Meter, metered

HOST_KEY_ALGORITHMS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_CERTIFICATE_ALGORITHMS: Final = tuple(
    f"{name}-cert-v01@openssh.com" for name in HOST_KEY_ALGORITHMS
)
# Without group exchange: a server would name the prime, and to check one of 8192 bits takes 20 s of the event loop.
KEY_EXCHANGES: Final = (
    *("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"),
    *("ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"),
    *("diffie-hellman-group16-sha512", "diffie-hellman-group14-sha256"),
)
# Those that asyncssh takes by itself, in another order: to it a packet of ChaCha20 costs three times one of AES-GCM.
CIPHERS: Final = (
    *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"),
    *("aes256-ctr", "aes192-ctr", "aes128-ctr"),
)
# What a handshake can end with because of the peer. Beside its own errors asyncssh lets out what it stumbles
# over: a connection that is reset in the middle of its work, or packets that no honest server sends.
PEER_FAULTS: Final = (
    *(asyncssh.Error, OSError),
    *(TypeError, AttributeError, LookupError, AssertionError),
)
_WINDOW: Final = 1 << 20
_KEEPALIVES_MISSED: Final = 2  # asyncssh gives up at the one after these


@dataclass(frozen=True)
class Target:
    """
    A machine and how to log in. `private_key` in OpenSSH format, with the `certificate` that our user CA gave
    it where there is one; `host_key` one OpenSSH line or None while it has not been seen (see
    `host_keys.first_contact`). As good as that key are those which it has `proved`, and certificates for `host` of one of
    the `authorities`, all one line each.
    """

    host: str
    port: int
    user: str
    private_key: str = field(repr=False)
    host_key: str | None = None
    policy: AddressPolicy = field(default_factory=AddressPolicy)
    certificate: str | None = None
    proved: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port, self.policy)


@dataclass(frozen=True)
class Deadlines:
    """
    Seconds: resolve and open TCP; key exchange and login; from an exec to its answer; one way of
    pushing; letting go; between keepalives (at the third that is due unanswered a connection ends).
    """

    connect: float = 10.0
    login: float = 20.0
    command: float = 30.0
    push: float = 30.0
    close: float = 2.0
    keepalive: float = 5.0


@dataclass(eq=False)
class Connection:
    """
    A logged-in connection; only this package looks inside. `spoiled`: something went wrong on it, so that it ends with its
    run; `since` when it was logged in, by the monotonic clock.
    """

    ssh: asyncssh.SSHClientConnection = field(repr=False)
    witness: HostKeyWitness = field(repr=False)
    spoiled: bool = False
    since: float = field(default_factory=time.monotonic)

    @property
    def lost(self) -> bool:
        """Whether the transport is gone, whoever ended it."""
        return self.ssh.is_closed()

    @property
    def quiet(self) -> bool:
        """Whether it is as good as a new one: sound, and nothing is open on it, by asyncssh's own count."""
        return not (self.lost or self.spoiled or getattr(self.ssh, "_channels", True))

    @property
    def meter(self) -> Meter:
        meter: Meter = self.ssh.get_extra_info("meter")
        return meter

    @property
    def host_key(self) -> str:
        """The key that the machine has shown, one OpenSSH line."""
        shown = self.ssh.get_server_host_key()
        return one_line(shown) if shown is not None else ""

    @property
    def authority(self) -> str | None:
        """The fingerprint of whoever signed the machine's certificate, where it was let through by that."""
        signer = self.witness.authority
        return signer.get_fingerprint() if signer is not None else None

    @property
    def announced(self) -> Announced | None:
        """Which keys the machine says it has, once it has proved them; many never say."""
        return self.witness.announced

    @property
    def address(self) -> str:
        """Where the machine really is: "192.0.2.7:22", "[2001:db8::7]:22"; empty once it is gone."""
        host, port, *_ = self.ssh.get_extra_info("peername") or ("", 0)
        shown = f"[{host}]" if ":" in host else host
        return f"{shown}:{port}" if host else ""

    async def close(self, seconds: float) -> None:
        """Let go of the machine, within so much time."""
        await let_go(self.ssh, seconds)


@asynccontextmanager
async def connect(
    target: Target,
    *,
    deadlines: Deadlines = Deadlines(),
    attempts: int = 3,
    probing: bool = False,
) -> AsyncIterator[Connection]:
    """
    As `log_in`, until the end of the block.

    Raises `AddressForbidden`, `HostUnreachable`, `HostKeyChanged`, `CredentialUnusable`,
    `LoginRefused`; and `ValueError` for a target without a host key, which is the caller's fault.
    """
    connection = await log_in(target, deadlines=deadlines, attempts=attempts, probing=probing)
    try:
        yield connection
    finally:
        await connection.close(deadlines.close)


async def log_in(
    target: Target,
    *,
    deadlines: Deadlines = Deadlines(),
    attempts: int = 3,
    probing: bool = False,
) -> Connection:
    """
    Connect, check the host key, and only then log in; up to `attempts` times while the machine
    does not answer. A machine that lets in whoever comes is refused where it is asked for that first (`probing`), which
    costs two round trips. The caller closes the connection.

    Raises `AddressForbidden`, `HostUnreachable`, `HostKeyChanged`, `CredentialUnusable`,
    `LoginRefused`; and `ValueError` for a target without a host key, which is the caller's fault.
    """
    pinned = (target.host_key, *target.proved) if target.host_key is not None else ()
    if not pinned and not target.authorities:
        raise ValueError("a login needs a host key on record; use first_contact")
    options = _login_options(target, _parsed(pinned), _parsed(target.authorities), deadlines)
    connection: Connection = await reaching(attempts)(_log_in, target, options, deadlines, probing)
    return connection


def reaching(attempts: int) -> AsyncRetrying:
    """Repeats only what failed as `HostUnreachable`, with waits of at most two seconds."""
    return AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        retry=retry_if_exception_type(HostUnreachable),
        reraise=True,
    )


def quiet_options(deadlines: Deadlines) -> dict[str, Any]:
    """What every connection of ours shares: nothing of the orchestrator user's own SSH set-up."""
    return {
        "config": None,
        "agent_path": None,
        "agent_identities": None,
        "agent_forwarding": False,
        "pkcs11_provider": None,
        "x11_forwarding": False,
        "client_certs": (),
        "client_host_keysign": False,
        "x509_trusted_certs": None,
        "x509_trusted_cert_paths": [],
        "gss_host": None,
        "gss_kex": False,
        "gss_auth": False,
        "proxy_command": None,
        "kex_algs": list(KEY_EXCHANGES),
        "encryption_algs": list(CIPHERS),
        "compression_algs": None,
        "utf8_decode_errors": "replace",
        "login_timeout": deadlines.login,
        "keepalive_interval": deadlines.keepalive,
        "keepalive_count_max": _KEEPALIVES_MISSED,
    }


async def let_go(ssh: asyncssh.SSHClientConnection, seconds: float) -> None:
    """Close without asking the peer: a hostile one would never agree."""
    ssh.abort()
    with suppress(TimeoutError, OSError, asyncssh.Error):
        async with asyncio.timeout(seconds):
            await ssh.wait_closed()


async def _log_in(
    target: Target, options: dict[str, Any], deadlines: Deadlines, probing: bool
) -> Connection:
    trusted, authorities, _ = options["known_hosts"] or ([], [], [])
    witness = HostKeyWitness(trusted, authorities, probing)
    opened = await open_socket(target.host, target.port, target.policy, timeout=deadlines.connect)
    try:
        async with asyncio.timeout(deadlines.login):
            ssh = await asyncssh.connect(
                tunnel=metered(opened), client_factory=lambda: witness, **options
            )
            return Connection(ssh, witness)
    except asyncssh.HostKeyNotVerifiable as error:
        raise _changed(witness, str(error)) from error
    except asyncssh.PermissionDenied as error:
        raise LoginRefused(f"User {target.user} with the key on record.") from error
    except PEER_FAULTS as error:
        raise HostUnreachable(UNREACHABLE) from error
    except ValueError as error:
        if witness.owns_socket:  # so does text of the peer's that is none
            raise HostUnreachable(UNREACHABLE) from error
        raise LoginRefused("The user name can't be used.") from error
    finally:
        handshake_ended(opened)
        if not witness.owns_socket:
            opened.close()


def _login_options(
    target: Target,
    pinned: list[asyncssh.SSHKey],
    authorities: list[asyncssh.SSHKey],
    deadlines: Deadlines,
) -> dict[str, Any]:
    return {
        **quiet_options(deadlines),
        "username": target.user,
        "client_keys": [_client_key(target)],
        "known_hosts": (pinned, authorities, []),
        "host_key_alias": target.host.lower(),  # what a certificate has to name
        "server_host_key_algs": _algorithms_for(pinned, authorities),
        "preferred_auth": ["publickey"],
        "host_based_auth": False,
        "kbdint_auth": False,
        "password_auth": False,
        "disable_trivial_auth": True,
        "env": {},
        "send_env": (),
        "request_pty": False,
        "encoding": None,
        "window": _WINDOW,
    }


def _client_key(
    target: Target,
) -> asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]:
    key = _parse_private_key(target.private_key)
    if target.certificate is None:
        return key
    return key, asyncssh.import_certificate(target.certificate)


def _algorithms_for(pinned: list[asyncssh.SSHKey], authorities: list[asyncssh.SSHKey]) -> list[str]:
    """
    Certificates first, where they count; then the pinned keys' own, so that an honest machine shows one of them. The
    others follow only to see the fingerprint of a machine that has no key of that type any more: it is refused.
    """
    own: list[str] = list(_CERTIFICATE_ALGORITHMS) if authorities else []
    for kind in (key.get_algorithm() for key in pinned):
        own += ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
    return list(dict.fromkeys((*own, *HOST_KEY_ALGORITHMS)))


def _parsed(lines: tuple[str, ...]) -> list[asyncssh.SSHKey]:
    try:
        return [asyncssh.import_public_key(line) for line in lines]
    except asyncssh.KeyImportError as error:
        raise HostKeyChanged("The host key on record can't be read.") from error


def _parse_private_key(text: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise CredentialUnusable("The stored key can't be read; import it again.") from None


def _changed(witness: HostKeyWitness, reason: str) -> HostKeyChanged:
    """A certificate that is no good offers nobody its key: what helps is another certificate."""
    presented, signer = witness.presented, witness.authority
    new = presented.get_fingerprint() if presented is not None else "unreadable"
    signed = " or ".join(key.get_fingerprint() for key in witness.authorities)
    old = witness.trusted[0].get_fingerprint() if witness.trusted else f"a certificate of {signed}"
    changed = HostKeyChanged(
        f"On record is {old}, the machine shows {new}.",
        evidence={"expected": old, "presented": new},
    )
    if signer is not None:
        changed = HostKeyChanged(
            f"Its certificate for {new}, signed by {signer.get_fingerprint()}, is not for this machine now:"
            f" {reason.partition(' for host')[0]}.",
            evidence={**changed.evidence, "authority": signer.get_fingerprint()},
        )
    line = one_line(presented) if presented is not None and signer is None else ""
    changed.presented = line if 0 < len(line) <= LONGEST_HOST_KEY else None
    return changed
