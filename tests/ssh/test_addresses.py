"""Where we may connect."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from orchestrator.domain.errors import AddressForbidden, HostUnreachable
from orchestrator.ssh.addresses import AddressPolicy, forbidden, open_socket
from tests.machines import LOOPBACK, raw_machine

FORBIDDEN = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "fe80::1",
    "fe80::1%1",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::1",
    "2002:0a00:0001::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_addresses_that_are_not_of_the_public_internet_are_forbidden(text: str) -> None:
    """No address of loopback, private, link-local, multicast, metadata or reserved use passes."""
    assert forbidden(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_public_addresses_pass(text: str) -> None:
    """A global unicast address is let through under the strictest policy."""
    assert not forbidden(ip_address(text))


def test_a_network_can_be_allowed() -> None:
    """Whoever runs the server can allow a network, and only that one opens."""
    policy = AddressPolicy((ip_network("10.0.0.0/8"),))
    assert not forbidden(ip_address("10.1.2.3"), policy)
    assert not forbidden(ip_address("::ffff:10.1.2.3"), policy)
    assert forbidden(ip_address("192.168.0.1"), policy)


def test_allowing_a_wrapper_does_not_allow_what_it_wraps() -> None:
    """An allowed NAT64 prefix is no way around the rule for the address inside it."""
    policy = AddressPolicy((ip_network("64:ff9b::/96"),))
    assert forbidden(ip_address("64:ff9b::7f00:1"), policy)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "::1"]
)
async def test_no_spelling_of_loopback_is_connected_to(host: str) -> None:
    """The address that a name resolves to is judged, whatever the name looks like."""
    async with raw_machine("no_banner") as machine:
        with pytest.raises((AddressForbidden, HostUnreachable)) as caught:
            await open_socket(host, machine.port, AddressPolicy(), timeout=5)
        assert machine.connections == 0
        if host in ("127.0.0.1", "127.1"):
            assert caught.type is AddressForbidden


async def test_one_forbidden_address_among_many_forbids_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name with a public and a private address is refused before anything is connected to."""
    _resolve_to(monkeypatch, [("8.8.8.8", 22), ("10.0.0.1", 22)])
    with pytest.raises(AddressForbidden, match=r"10\.0\.0\.1"):
        await open_socket("both.example", 22, AddressPolicy(), timeout=5)


async def test_the_name_is_resolved_once_and_the_next_address_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One lookup decides (no rebinding), and an address that refuses gives way to the next."""
    async with raw_machine("no_banner") as machine:
        answers = [("127.0.0.9", machine.port), ("127.0.0.1", machine.port)]
        asked = _resolve_to(monkeypatch, answers)
        with closing(await open_socket("two.example", machine.port, LOOPBACK, timeout=5)) as sock:
            assert sock.getpeername() == ("127.0.0.1", machine.port)
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert asked == ["two.example"]


async def test_refused_filtered_and_unknown_look_alike() -> None:
    """A tenant can't tell a closed port from a filtered one or from no host at all."""
    with ExitStack() as stack:
        full = stack.enter_context(closing(socket.socket()))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(2):  # the backlog is full: the kernel drops what comes now
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        closed = stack.enter_context(closing(socket.socket()))
        closed.bind(("127.0.0.1", 0))
        texts = set()
        for host, port in [
            ("127.0.0.1", closed.getsockname()[1]),
            ("127.0.0.1", full.getsockname()[1]),
            ("no-such-host.invalid", 22),
            ("a" * 64 + ".example", 22),
            ("nul\0.example", 22),
            ("", 22),
            ("127.0.0.1", 0),
            ("127.0.0.1", 65536),
        ]:
            with pytest.raises(HostUnreachable) as caught:
                await open_socket(host, port, LOOPBACK, timeout=0.5)
            texts.add(str(caught.value))
        assert len(texts) == 1


async def test_resolving_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that never answers costs no more than the timeout."""

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    async with asyncio.timeout(5):
        with pytest.raises(HostUnreachable):
            await open_socket("slow.example", 22, LOOPBACK, timeout=0.05)


def _resolve_to(monkeypatch: pytest.MonkeyPatch, found: list[tuple[str, int]]) -> list[str]:
    asked: list[str] = []

    async def answer(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    return asked
