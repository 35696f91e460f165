"""Ways to write an address where nobody may connect, drawn from a seed; some need a zone of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from random import Random
from typing import Final

from bench.attacks.addresses.cage import ALLOWED, FORBIDDEN_4, OURS

# What is worth most to whoever gets there: the metadata of clouds, and this machine itself.
_WANTED_4: Final = (
    *("127.0.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0"),
    *("10.0.0.1", "192.168.0.1", "172.17.0.1", "169.254.170.2"),
)
_WANTED_6: Final = (
    *("::1", "::", "fd00:ec2::254", "fd20:ce::254", "fc00::1", "fec0::1", "fe80::1", "ff02::1"),
    *(
        "2001:db8::1",
        "2001:2::1",
        "100::1",
        "3fff::1",
        "5f00::1",
        "0:0:0:0:0:0:0:1",
        "fe80::a9fe:a9fe",
    ),
)
_WIDE: Final = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}  # full-width
_LOOKALIKES: Final = str.maketrans("123456789.", "①②③④⑤⑥⑦⑧⑨。")  # IDNA maps them to ASCII


@dataclass(frozen=True)
class Spelling:
    kind: str
    host: str


@dataclass
class Speller:
    """`records` grows by the zone that the spellings stand in (see `resolver.Resolver`)."""

    chooser: Random
    records: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def spell(self, count: int) -> list[Spelling]:
        """So many, of every kind in turn."""
        kinds = [*_OF_IPV4, *_OF_IPV6, *_OF_NAMES]
        drawn = [kinds[number % len(kinds)] for number in range(count)]
        return [Spelling(kind, self._drawn(kind)) for kind in drawn]

    def forbidden(self) -> IPv4Address:
        if self.chooser.random() < 0.5:
            return IPv4Address(self.chooser.choice(_WANTED_4))
        network = ip_network(self.chooser.choice(FORBIDDEN_4))
        return IPv4Address(int(network[0]) + self.chooser.randrange(network.num_addresses))

    def _drawn(self, kind: str) -> str:
        if kind in _OF_IPV4:
            return _OF_IPV4[kind](self.forbidden())
        if kind in _OF_IPV6:
            return _OF_IPV6[kind](self.chooser.choice(_WANTED_6))
        name = f"n{len(self.records)}-{self.chooser.randrange(10**6)}"
        return _OF_NAMES[kind](self, name, str(self.forbidden()))

    def hold(self, name: str, *found: str) -> str:
        self.records[name.lower()] = found
        return name

    def chain(self, name: str, bad: str) -> str:
        for step in range(4):
            self.hold(f"{name}-{step}.test", f"{name}-{step + 1}.test.")
        self.hold(f"{name}-4.test", bad)
        return f"{name}-0.test"


def _parts(address: IPv4Address) -> list[int]:
    return list(address.packed)


def _six(high: int, address: IPv4Address) -> str:
    return str(IPv6Address(high | int(address)))


def _teredo(server: IPv4Address, client: IPv4Address) -> str:
    return _six(
        0x20010000 << 96 | int(server) << 64 | 0x8000F227 << 32,
        IPv4Address(int(client) ^ 0xFFFFFFFF),
    )


_PUBLIC: Final = IPv4Address(ALLOWED[0])
_OF_IPV4: Final[dict[str, Callable[[IPv4Address], str]]] = {
    "dotted": str,
    "decimal": lambda a: str(int(a)),
    "hexadecimal": lambda a: hex(int(a)),
    "upper hexadecimal": lambda a: f"0X{int(a):08X}",
    "padded hexadecimal": lambda a: f"0x00000000{int(a):08x}",
    "octal": lambda a: f"0{int(a):o}",
    "octal parts": lambda a: ".".join(f"0{part:o}" for part in _parts(a)),
    "hexadecimal parts": lambda a: ".".join(hex(part) for part in _parts(a)),
    "padded parts": lambda a: ".".join(f"0000{part:o}" for part in _parts(a)),
    "mixed parts": lambda a: "{}.0x{:x}.0{:o}.{}".format(*_parts(a)),
    "two parts": lambda a: f"{int(a) >> 24}.{int(a) & 0xFFFFFF}",
    "two hexadecimal parts": lambda a: f"{int(a) >> 24:#x}.{int(a) & 0xFFFFFF:#x}",
    "three parts": lambda a: f"{int(a) >> 24}.{int(a) >> 16 & 255}.{int(a) & 0xFFFF}",
    "final dot": lambda a: f"{a}.",
    "wide digits": lambda a: str(a).translate(_WIDE),
    "circled digits": lambda a: str(a).translate(_LOOKALIKES),
    "with a port": lambda a: f"{a}:22",
    "with a user": lambda a: f"root@{a}",
    "with a scope": lambda a: f"{a}%lo",
    "with a space": lambda a: f"{a} ",
    "after a tab": lambda a: f"\t{a}",
    "in brackets": lambda a: f"[{a}]",
    "percent": lambda a: "".join(f"%{ord(each):x}" for each in str(a)),
    "with a path": lambda a: f"{a}/8",
    "with a zero byte": lambda a: f"{a}\0.example",
    "mapped": lambda a: f"::ffff:{a}",
    "mapped, hexadecimal": lambda a: f"::ffff:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}",
    "mapped, upper": lambda a: f"::FFFF:{int(a) >> 16:X}:{int(a) & 0xFFFF:X}",
    "mapped, in full": lambda a: f"0000:0000:0000:0000:0000:ffff:{a}",
    "mapped, with a scope": lambda a: f"::ffff:{a}%1",
    "mapped, in brackets": lambda a: f"[::ffff:{a}]",
    "compatible": lambda a: f"::{a}",
    "translated": lambda a: f"::ffff:0:{a}",
    "NAT64": lambda a: f"64:ff9b::{a}",
    "NAT64 of local use": lambda a: f"64:ff9b:1::{a}",
    "6to4": lambda a: f"2002:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}::1",
    "Teredo client": lambda a: _teredo(_PUBLIC, a),
    "Teredo server": lambda a: _teredo(a, _PUBLIC),
    "ISATAP": lambda a: _six(0x2606470000000000 << 64 | 0x00005EFE << 32, a),
    "universal ISATAP": lambda a: _six(0x2606470000000000 << 64 | 0x02005EFE << 32, a),
}
_OF_IPV6: Final[dict[str, Callable[[str], str]]] = {
    "IPv6": str,
    "IPv6, upper": str.upper,
    "IPv6, in brackets": lambda text: f"[{text}]",
    "IPv6, with an interface": lambda text: f"{text}%cage",
    "IPv6, with a number": lambda text: f"{text}%1",
    "IPv6, with a wrong scope": lambda text: f"{text}%none",
    "IPv6, in full": lambda text: IPv6Address(text).exploded,
}
_OF_NAMES: Final[dict[str, Callable[[Speller, str, str], str]]] = {
    "name": lambda s, name, bad: s.hold(f"{name}.test", bad),
    "upper name": lambda s, name, bad: s.hold(f"{name}.test".upper(), bad),
    "name with a final dot": lambda s, name, bad: s.hold(f"{name}.test", bad) + ".",
    "name of the inside": lambda s, name, bad: s.hold(f"{name}.inside.test", bad).split(".")[0],
    "good before bad": lambda s, name, bad: s.hold(f"{name}.test", ALLOWED[0], bad),
    "bad before good": lambda s, name, bad: s.hold(f"{name}.test", bad, ALLOWED[0]),
    "one bad of nine": lambda s, name, bad: s.hold(f"{name}.test", *[ALLOWED[0]] * 8, bad),
    "good IPv4, bad IPv6": lambda s, name, bad: s.hold(f"{name}.test", ALLOWED[0], "fd00:ec2::254"),
    "good IPv6, bad IPv4": lambda s, name, bad: s.hold(f"{name}.test", ALLOWED[1], bad),
    "mapped AAAA": lambda s, name, bad: s.hold(f"{name}.test", ALLOWED[0], f"::ffff:{bad}"),
    "alias": lambda s, name, bad: s.hold(f"{name}.test", s.hold(f"{name}-a.test", bad) + "."),
    "chain of aliases": lambda s, name, bad: s.chain(name, bad),
    "alias of localhost": lambda s, name, bad: s.hold(
        f"{name}.test", s.hold("loop.test", "127.0.0.1") + "."
    ),
    "localhost": lambda s, name, bad: s.chooser.choice(
        ("localhost", "LOCALHOST", "localhost.", "ip6-localhost")
    ),
    "ourselves": lambda s, name, bad: s.chooser.choice(OURS),
    "ourselves, mapped": lambda s, name, bad: f"::ffff:{OURS[0]}",
    "ourselves, by name": lambda s, name, bad: s.hold(f"{name}.test", *OURS),
}
