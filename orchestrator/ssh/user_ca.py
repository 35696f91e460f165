"""
Our SSH user CA: a machine trusts it once, and each login has a key pair and a certificate of its own.

A certificate names one supplier as its principal, so that a machine which trusts us for one lets no other
supplier's test in; it is good for minutes, for commands only: no terminal, no forwarding.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import asyncssh

from orchestrator.domain.errors import ConfigError
from orchestrator.ssh.addresses import Network
from orchestrator.ssh.keys import one_line

LIFETIME: Final = timedelta(minutes=10)
_SKEW: Final = LIFETIME / 2  # a machine's clock may be so far behind ours, or ahead of it
_SEED: Final = 32
# PKCS#8 of an Ed25519 key is this, then its 32 bytes (RFC 8410, section 7).
_PKCS8: Final = bytes.fromhex("302e020100300506032b657004220420")
_COMMENT: Final = "harborx-user-ca"


@dataclass(frozen=True)
class CertifiedKey:
    """A private key in OpenSSH format, with the certificate for it where a machine trusts our CA."""

    private_key: str = field(repr=False)
    certificate: str | None


@dataclass(frozen=True)
class TrustedCa:
    """The public half of our CA: all that machines, and the API, are told. `sources` as in `UserCa`."""

    public_key: str
    fingerprint: str
    sources: tuple[Network, ...] = ()

    def authorized_line(self, user_id: UUID) -> str:
        """What a supplier puts into authorized_keys, once: lets in certificates for this supplier only."""
        return f'cert-authority,restrict,principals="{principal(user_id)}" {self.public_key}'


@dataclass(frozen=True)
class UserCa:
    """Signs logins; for workers. Where `sources` are given, a machine lets its certificates in from there only."""

    _key: asyncssh.SSHKey = field(repr=False)
    sources: tuple[Network, ...] = ()

    @classmethod
    def from_file(cls, path: Path, sources: tuple[Network, ...] = ()) -> Self:
        """The CA whose key is the 32 bytes (base64) in `path`. Raises `ConfigError`."""
        try:
            mode = path.stat().st_mode
            seed = base64.b64decode(path.read_text("ascii").strip(), validate=True)
        except (OSError, UnicodeDecodeError, binascii.Error) as error:
            raise ConfigError(f"The user CA's key {path} can't be read.") from error
        if mode & 0o077:
            raise ConfigError(f"The user CA's key {path} can be read by others; chmod 600 it.")
        if len(seed) != _SEED:
            raise ConfigError(f"The user CA's key {path} does not hold 32 bytes.")
        return cls(asyncssh.import_private_key(_PKCS8 + seed), sources)

    @property
    def trusted(self) -> TrustedCa:
        return TrustedCa(
            f"{one_line(self._key)} {_COMMENT}", self._key.get_fingerprint(), self.sources
        )

    def certify(self, user_id: UUID, purpose: str, now: datetime) -> CertifiedKey:
        """A new key pair and its certificate. `purpose` stands in the machine's own log of logins."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        certificate = self._key.generate_user_certificate(
            key,
            purpose,
            principals=[principal(user_id)],
            valid_after=now - _SKEW,
            valid_before=now - _SKEW + LIFETIME,
            source_address=[str(network) for network in self.sources] or None,
            permit_x11_forwarding=False,
            permit_agent_forwarding=False,
            permit_port_forwarding=False,
            permit_pty=False,
            permit_user_rc=False,
        )
        return CertifiedKey(
            key.export_private_key("openssh").decode("ascii"),
            certificate.export_certificate("openssh").decode("ascii"),
        )


def principal(user_id: UUID) -> str:
    """The name under which a machine knows a supplier's tests."""
    return f"harborx-{user_id}"
