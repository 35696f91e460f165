"""Where we may connect."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest

from orchestrator.domain.errors import AddressForbidden, HostUnreachable
from orchestrator.ssh import addresses, names
from orchestrator.ssh.addresses import (
    UNREACHABLE,
    AddressPolicy,
    Endpoint,
    forbidden,
    handshake_ended,
    open_socket,
    resolve,
)
from orchestrator.ssh.connection import connect
from orchestrator.ssh.gate import Gate
from tests.machines import LOOPBACK, raw_machine, scripted_machine

# By the registries of IANA and the clouds' own manuals, not by the product's tables.
FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "161.26.0.10",
    "166.11.255.255",
    "168.63.129.16",
    "169.254.0.23",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::8.8.8.8",
    "100::1",
    "5f00::1",
    "4000::1",
    "fe80::1",
    "fe80::1%1",
    "fe80::a9fe:a9fe%1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fec0::1",
    "ff02::1",
    "2001::1",
    "2001:2::1",
    "2001:20::1",
    "2001:db8::1",
    "2620:4f:8000::1",
    "3fff::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "2002:7f00:1::1",
    "2002:0a00:0001::",
    "2002:808:808::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:169.254.169.254",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2606:4700::5efe:8.8.8.8",
    "2a01:4f8::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_addresses_that_are_not_of_the_public_internet_are_forbidden(text: str) -> None:
    """No address of loopback, private, link-local, multicast, metadata, tunnelled or reserved use passes."""
    assert forbidden(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_pass(text: str) -> None:
    """A global unicast address is let through under the strictest policy."""
    assert not forbidden(ip_address(text))


def test_no_version_of_python_has_a_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `ipaddress` believes of an address changes with the interpreter, and nothing here with it."""
    for kind in (IPv4Address, IPv6Address):
        for name in ("is_global", "is_private", "is_reserved", "is_multicast", "ipv4_mapped"):
            monkeypatch.setattr(kind, name, None, raising=False)
    assert all(forbidden(ip_address(text)) for text in FORBIDDEN)
    assert not any(forbidden(ip_address(text)) for text in PUBLIC)


def test_a_network_can_be_allowed() -> None:
    """Whoever runs the server can allow a network, and only that one opens."""
    policy = AddressPolicy((ip_network("10.0.0.0/8"),))
    assert not forbidden(ip_address("10.1.2.3"), policy)
    assert not forbidden(ip_address("::ffff:10.1.2.3"), policy)
    assert forbidden(ip_address("192.168.0.1"), policy)


@pytest.mark.parametrize(
    ("wrapper", "text"),
    [
        ("64:ff9b::/96", "64:ff9b::7f00:1"),
        ("64:ff9b:1::/48", "64:ff9b:1::7f00:1"),
        ("::/96", "::127.0.0.1"),
        ("2002::/16", "2002:7f00:1::1"),
        ("2001::/32", "2001:0:808:808::80ff:fffe"),
        ("fd00::/8", "fd00::5efe:127.0.0.1"),
    ],
)
def test_allowing_a_wrapper_does_not_allow_what_it_wraps(wrapper: str, text: str) -> None:
    """An allowed prefix of translators or tunnels is no way around the rule for the address inside it."""
    assert forbidden(ip_address(text), AddressPolicy((ip_network(wrapper),)))


def test_a_network_can_be_closed() -> None:
    """A network that whoever runs the server has closed stays so, public or allowed, in every form."""
    closed = (ip_network("8.8.8.0/24"), ip_network("10.0.0.5/32"), ip_network("2606:4700::/32"))
    policy = AddressPolicy((ip_network("10.0.0.0/8"),), closed)
    assert not forbidden(ip_address("10.0.0.4"), policy)
    for text in ("8.8.8.8", "10.0.0.5", "::ffff:10.0.0.5", "64:ff9b::808:808", "2606:4700::1"):
        assert forbidden(ip_address(text), policy)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "::1"]
)
async def test_no_spelling_of_loopback_is_connected_to(host: str) -> None:
    """The address that a name resolves to is judged, whatever the name looks like."""
    async with raw_machine("no_banner") as machine:
        with pytest.raises((AddressForbidden, HostUnreachable)) as caught:
            await open_socket(host, machine.port, AddressPolicy(), timeout=5)
        assert machine.connections == 0
        assert caught.type is (HostUnreachable if host == "localhost" else AddressForbidden)


async def test_one_forbidden_address_among_many_forbids_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name with a public and a private address is refused before anything is connected to."""
    _resolve_to(monkeypatch, [("8.8.8.8", 22), ("10.0.0.1", 22)])
    with pytest.raises(HostUnreachable):
        await open_socket("both.example", 22, AddressPolicy(), timeout=5)


async def test_what_a_name_stands_for_inside_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that our resolver knows as one of the inside is answered like a name that nobody knows."""
    told = []
    for found in ([("10.11.12.13", 22)], []):
        _resolve_to(monkeypatch, found)
        for ask in (
            resolve(Endpoint("db", 22), timeout=5),
            open_socket("db", 22, AddressPolicy(), timeout=5),
        ):
            with pytest.raises(HostUnreachable) as caught:
                await ask
            told.append((str(caught.value), caught.value.evidence))
    assert told == [(str(HostUnreachable(UNREACHABLE)), {})] * 4


async def test_an_address_of_this_machine_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were it ever so public, an address of our own is refused, and not named; unless its network is allowed."""
    monkeypatch.setattr(addresses, "_is_public", lambda _: True)
    async with raw_machine("no_banner") as machine:
        with pytest.raises(HostUnreachable, match=UNREACHABLE):
            await open_socket("127.0.0.1", machine.port, AddressPolicy(), timeout=5)
        assert machine.connections == 0
        (await open_socket("127.0.0.1", machine.port, LOOPBACK, timeout=5)).close()


async def test_ports_of_other_services_are_not_connected_to() -> None:
    """Below 1024 there is SSH's port only, unless another was allowed."""
    for port in (1, 21, 23, 25, 80, 443, 1023):
        with pytest.raises(AddressForbidden, match=f"It is port {port}"):
            await open_socket("127.0.0.1", port, LOOPBACK, timeout=5)
    async with raw_machine("no_banner") as machine:
        one = replace(LOOPBACK, allowed_ports=(range(machine.port, machine.port + 1),))
        (await open_socket("127.0.0.1", machine.port, one, timeout=5)).close()
        with pytest.raises(AddressForbidden):
            await open_socket("127.0.0.1", 22, one, timeout=5)


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


async def test_a_resolver_that_hangs_keeps_nobody_else_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tenant's lookups that never end cost each no more than its timeout, and no other tenant its place."""
    gate, hanging = Gate(), threading.Event()

    def answer(host: str, *_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        if host != "quick.example":
            hanging.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 22))]

    monkeypatch.setattr(names.socket, "getaddrinfo", answer)
    before = threading.active_count()
    greedy, other = AddressPolicy(tenant="a", gate=gate), AddressPolicy(tenant="b", gate=gate)
    try:
        asked = [resolve(Endpoint(f"{n}.example", 22, greedy), timeout=0.2) for n in range(40)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in ended} == {HostUnreachable}
        assert threading.active_count() - before <= 8
        assert await resolve(Endpoint("quick.example", 22, other), timeout=5) == ["8.8.8.8"]
    finally:
        hanging.set()
    async with asyncio.timeout(5):  # the places come back with the threads
        assert await resolve(Endpoint("quick.example", 22, greedy), timeout=5) == ["8.8.8.8"]


async def test_a_lookup_that_breaks_off_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What no resolver is known to raise ends its thread, and with it the wait and the place."""
    gate = Gate()

    def answer(*_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        raise SystemError

    broken: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    monkeypatch.setattr(names.socket, "getaddrinfo", answer)
    policy = AddressPolicy(tenant="a", gate=gate)
    async with asyncio.timeout(5):
        for _ in range(9):  # one more than a tenant's places
            with pytest.raises(HostUnreachable):
                await resolve(Endpoint("broken.example", 22, policy), timeout=10)
    # A thread tells of its end after its answer: all have ended before the next test begins.
    for thread in [each for each in threading.enumerate() if each.name == "look-up"]:
        await asyncio.to_thread(thread.join, 5)
    assert [each.exc_type for each in broken] == [SystemError] * 9


async def test_connections_to_one_address_have_a_bound() -> None:
    """
    However many tenants want it, an address has 32 connections in their handshake at a time, 16 of each; the others
    wait until one has ended, well or with its socket.
    """
    gate = Gate()
    async with raw_machine("no_banner") as machine:

        async def connected(tenant: str, gate: Gate = gate) -> socket.socket:
            policy = replace(LOOPBACK, tenant=tenant, gate=gate)
            return await open_socket("127.0.0.1", machine.port, policy, timeout=5)

        tasks = [asyncio.create_task(connected(name)) for name in "a" * 20 + "b" * 20 + "c"]

        async def reach(count: int) -> None:
            async with asyncio.timeout(10):
                while (done := sum(task.done() for task in tasks)) < count:
                    waiting = [task for task in tasks if not task.done()]
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            # One that waits for nobody, and began last: if another were to come, it would be here.
            (await connected("d", Gate())).close()
            assert sum(task.done() for task in tasks) == done == count

        await reach(32)
        assert sum(task.done() for task in tasks[:20]) == 16
        (await tasks[0]).close()
        await reach(33)
        handshake_ended(await tasks[1])
        handshake_ended(await tasks[1])  # once is enough
        await reach(34)
        for task in tasks:
            (await task).close()


async def test_who_has_logged_in_keeps_no_place() -> None:
    """As many machines as one likes may be at work behind one address: what is bounded is the way in."""
    async with scripted_machine() as machine, AsyncExitStack() as stack, asyncio.timeout(20):
        target = machine.target()
        target = replace(target, policy=replace(target.policy, gate=Gate()))
        for _ in range(18):
            await stack.enter_async_context(connect(target, attempts=1))


def _resolve_to(monkeypatch: pytest.MonkeyPatch, found: list[tuple[str, int]]) -> list[str]:
    asked: list[str] = []

    def answer(host: str, *_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags:  # whether it is an address
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        asked.append(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in found]

    monkeypatch.setattr(names.socket, "getaddrinfo", answer)
    return asked
