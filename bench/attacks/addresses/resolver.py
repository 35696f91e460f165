"""A name server that lies: real DNS over UDP, with addresses as a tenant's own zone may hold them."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, ip_address

_A, _CNAME, _AAAA = 1, 5, 28
_ANSWER, _NO_SUCH_NAME = 0x8180, 0x8183
_MOST_ALIASES = 8


class Resolver:
    """
    Answers until the process ends. `records` holds what a name has: addresses, or "another.name." to go on at. `turns`
    holds names whose answer changes: the first query gets the first list, the next the second, and so on around. A
    name that looks like an IPv4 address resolves to it.
    """

    def __init__(
        self,
        address: str,
        records: Mapping[str, Sequence[str]],
        turns: Mapping[str, Sequence[Sequence[str]]],
    ) -> None:
        self.queries = 0
        self._records, self._turns = records, turns
        self._turn: Counter[tuple[str, int]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            packet, client = self._socket.recvfrom(4096)
            self.queries += 1
            self._socket.sendto(self._answer(packet), client)

    def _answer(self, packet: bytes) -> bytes:
        name, end = _read_name(packet, 12)
        (kind,) = struct.unpack_from(">H", packet, end)
        records = self._resolved(name, kind)
        flags = _NO_SUCH_NAME if records is None else _ANSWER
        head = packet[:2] + struct.pack(">HHHHH", flags, 1, len(records or ()), 0, 0)
        return head + packet[12 : end + 4] + b"".join(records or ())

    def _resolved(self, name: str, kind: int) -> list[bytes] | None:
        answer: list[bytes] = []
        for _ in range(_MOST_ALIASES):
            found = self._held(name, kind)
            if found is None:
                return answer or None
            alias = next((each for each in found if each.endswith(".")), None)
            if alias is None:
                packed = [ip_address(each).packed for each in found]
                size = 16 if kind == _AAAA else 4
                return answer + [_record(name, kind, each) for each in packed if len(each) == size]
            answer.append(_record(name, _CNAME, _written(alias)))
            name = alias.rstrip(".").lower()
        return answer

    def _held(self, name: str, kind: int) -> Sequence[str] | None:
        if turns := self._turns.get(name):
            self._turn[name, kind] += 1
            return turns[(self._turn[name, kind] - 1) % len(turns)]
        with suppress(ValueError):
            return [str(IPv4Address(name))]
        return self._records.get(name)


def _read_name(packet: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    return ".".join(labels), at + 1


def _written(name: str) -> bytes:
    labels = [label.encode() for label in name.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _written(name) + struct.pack(">HHIH", kind, 1, 0, len(data)) + data
