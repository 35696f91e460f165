"""A secret in every form in which it may have got somewhere, and the search for it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import asyncssh

_SHORTEST: Final = 16  # bytes: shorter ones are found by chance
_EMPTY: Final = re.compile(rb"\0{256,}")


@dataclass(frozen=True)
class Canary:
    """`name` is what it is, by which a find is told; the value is not."""

    name: str
    value: bytes

    def forms(self) -> dict[bytes, str]:
        """Each pattern to look for, with the name of its form."""
        found = dict(_forms(self.value))
        for line in self.value.splitlines():
            if not line.startswith(b"-----"):
                found.setdefault(line, "a line of it")
        return {pattern: form for pattern, form in found.items() if len(pattern) >= _SHORTEST}


@dataclass(frozen=True)
class Find:
    canary: str
    form: str
    place: str

    def __str__(self) -> str:
        return f"{self.canary} ({self.form}) in {self.place}"


def text(name: str, value: str) -> Canary:
    return Canary(name, value.encode())


def of_key(name: str, private_key: str) -> list[Canary]:
    """A private key as text, and the number that it is made of: every format of it holds that."""
    key = asyncssh.import_private_key(private_key)
    number = key.export_private_key("pkcs8-der")[-32:]  # of Ed25519
    return [text(name, private_key.strip()), Canary(f"{name}, its number", number)]


def search(place: str, data: bytes, canaries: list[Canary]) -> list[Find]:
    """Every canary that is in there, in whichever form is met first."""
    data = _EMPTY.sub(b"\0", data)
    found = []
    for canary in canaries:
        form = next((form for each, form in canary.forms().items() if each in data), None)
        if form is not None:
            found.append(Find(canary.name, form, place))
    return found


def _forms(value: bytes) -> Iterator[tuple[bytes, str]]:
    yield value, "plain"
    yield value[::-1], "reversed"
    yield value.hex().encode(), "hex"
    yield value.hex().upper().encode(), "hex"
    for shift in range(3):  # wherever it stands in what is encoded
        encoded = base64.b64encode(bytes(shift) + value)
        inner = encoded[(0, 2, 3)[shift] : (shift + len(value)) * 8 // 6]
        yield inner, "base64"
        yield inner.replace(b"+", b"-").replace(b"/", b"_"), "base64url"
    yield quote(value, safe="").encode(), "URL-encoded"
    yield repr(value)[2:-1].encode(), "escaped"
    try:
        yield json.dumps(value.decode()).encode()[1:-1], "JSON"
    except UnicodeDecodeError:
        yield json.dumps(value.decode("latin-1")).encode()[1:-1], "JSON"
