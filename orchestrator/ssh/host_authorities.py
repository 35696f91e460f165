"""Whose certificates say which machine it is, as known_hosts has them after @cert-authority."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import asyncssh

from orchestrator.domain.errors import InvalidInput
from orchestrator.ssh.keys import LONGEST_HOST_KEY, one_line

LONGEST_HOSTS: Final = 500
_MARKER: Final = "@cert-authority"
_PATTERN: Final = re.compile(r"!?[a-z0-9_.:*?%\-\[\]]{1,255}")
_SSH: Final = 22


@dataclass(frozen=True)
class HostAuthority:
    """`hosts` are comma-separated patterns with * and ?, those after ! taken out; `public_key` is one line."""

    hosts: str
    public_key: str
    fingerprint: str

    @classmethod
    def read(cls, hosts: str, public_key: str) -> HostAuthority:
        """Raises `InvalidInput`."""
        patterns = [each.strip().lower() for each in hosts.split(",")]
        if len(hosts) > LONGEST_HOSTS or not all(_PATTERN.fullmatch(each) for each in patterns):
            raise InvalidInput(
                "hosts are names or addresses with * and ?, parted by commas; hashed ones can't be used.",
                field="hosts",
            )
        if all(each.startswith("!") for each in patterns):
            raise InvalidInput("hosts only takes out, and names none.", field="hosts")
        try:
            key = asyncssh.import_public_key(public_key.strip())
        except (asyncssh.KeyImportError, ValueError) as error:
            raise InvalidInput("It is not an OpenSSH public key.", field="public_key") from error
        line = one_line(key)
        if len(line) > LONGEST_HOST_KEY:
            raise InvalidInput("The key is longer than any in use.", field="public_key")
        return cls(",".join(patterns), line, key.get_fingerprint())

    @classmethod
    def of_line(cls, line: str) -> HostAuthority:
        """A line of known_hosts. Raises `InvalidInput`."""
        marker, _, rest = line.strip().partition(" ")
        hosts, _, public_key = rest.strip().partition(" ")
        if marker != _MARKER or not public_key:
            raise InvalidInput(f"The line is not: {_MARKER} HOSTS KEY", field="line")
        return cls.read(hosts, public_key)


def covers(hosts: str, host: str, port: int) -> bool:
    """Whether patterns name a machine: [host]:port is another name of one whose port is not 22."""
    names = (host.lower(), f"[{host.lower()}]:{port}")[: 1 if port == _SSH else 2]
    patterns = hosts.split(",")
    if any(_names(each[1:], names) for each in patterns if each.startswith("!")):
        return False
    return any(_names(each, names) for each in patterns if not each.startswith("!"))


def _names(pattern: str, names: tuple[str, ...]) -> bool:
    plain = pattern.replace("[", "[[]")  # brackets are a part of names here
    return any(fnmatchcase(name, plain) for name in names)
