"""Where we may connect: resolve once, check every address, connect a socket to a checked one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from orchestrator import log
from orchestrator.domain.errors import AddressForbidden, HostUnreachable
from orchestrator.ssh.gate import Gate, Leave
from orchestrator.ssh.names import SockAddress, literal, look_up

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

logger = log.get(__name__)

# Tenants must not learn from our answers which ports of a network are open, filtered or absent, nor which names its
# own resolver knows.
UNREACHABLE: Final = (
    "The name did not resolve to an address where we connect,"
    " or nothing there completed an SSH handshake in time."
)

# What is not of the public internet, by IANA's registries for special purposes. Our own list, since `is_global` says
# something else in each version of Python.
_NOT_PUBLIC_4: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; 0.0.0.0 is this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; holds Alibaba's metadata 100.100.100.200
        "127.0.0.0/8",
        "161.26.0.0/16",  # IBM Cloud's services for its machines
        "166.8.0.0/14",  # the same
        "168.63.129.16/32",  # Azure's metadata and DNS
        "169.254.0.0/16",  # link-local; the metadata of nearly all clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; holds Oracle's metadata 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks of networks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# All of IPv6 that is handed out to the public. Loopback, unique local (and with it AWS's metadata fd00:ec2::254 and
# Google's fd20:ce::254), link-local, site-local, multicast and most forms that carry an IPv4 address lie outside.
_PUBLIC_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID, AMT
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# Where the last 32 bits are an IPv4 address that a translator or a tunnel sends the packet on to.
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # what DNS64 answers for every public IPv4 address
_CARRIERS: Final = tuple(
    IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48")
)
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # the first half of the interface's identifier

_PORTS: Final = (range(22, 23), range(1024, 65536))
_MOST_ADDRESSES: Final = 4  # that are connected to; all are checked
_LONGEST_NAME: Final = 253
_PATIENCE: Final = 60.0  # seconds that a connection waits for its place
_HANDSHAKE: Final = 30.0  # seconds after which it has logged in, or was given up


@dataclass(frozen=True)
class AddressPolicy:
    """
    Networks that are let through beside the public internet, networks that are not, whatever they are, and the
    ports. `tenant` is whose machines they are; `gate` is the process's.
    """

    allowed_networks: tuple[Network, ...] = ()
    forbidden_networks: tuple[Network, ...] = ()
    allowed_ports: tuple[range, ...] = _PORTS
    tenant: str = ""
    gate: Gate = field(default_factory=Gate, repr=False, compare=False)


@dataclass(frozen=True)
class Endpoint:
    """Where an SSH server listens, and the policy its addresses are held against."""

    host: str
    port: int
    policy: AddressPolicy = field(default_factory=AddressPolicy)


async def open_socket(
    host: str, port: int, policy: AddressPolicy, *, timeout: float
) -> socket.socket:
    """
    A connected, non-blocking TCP socket to `host`, which the caller closes. `timeout` in seconds covers resolving
    and connecting, but not the wait for a place among the connections to that address.

    Raises `AddressForbidden` for an address or a port out of bounds, and `HostUnreachable`, always with the same
    text, for a name that has no address or one out of bounds, and where none accepts.
    """
    until = asyncio.get_running_loop().time() + timeout
    found = await _checked(host, port, policy, timeout)
    left = until - asyncio.get_running_loop().time()
    try:
        return await _connect_to_one(found[:_MOST_ADDRESSES], policy, left)
    except OSError as error:
        raise HostUnreachable(UNREACHABLE) from error


def handshake_ended(opened: socket.socket) -> None:
    """
    The connection of `open_socket` has logged in, or will not: its place is the next one's. Said by nobody, it is so
    when the socket closes, and after half a minute.
    """
    if isinstance(opened, _Placed):
        opened.leave()


async def resolve(endpoint: Endpoint, *, timeout: float) -> list[str]:
    """
    The addresses of the endpoint's host, without connecting to any: what a caller is told of them says nothing
    about ports. `timeout` in seconds.

    Raises as `open_socket`.
    """
    found = await _checked(endpoint.host, endpoint.port, endpoint.policy, timeout)
    return [text for _, (text, *_) in found[:_MOST_ADDRESSES]]


def forbidden(address: Address, policy: AddressPolicy = AddressPolicy()) -> bool:
    """Whether `address`, or an IPv4 address carried inside it, is out of bounds."""
    return any(
        _within(each, policy.forbidden_networks)
        or not (_within(each, policy.allowed_networks) or _is_public(each))
        for each in _ends(address)
    )


def ports_of(text: str) -> range:
    """The ports of "22" or "1024-65535"."""
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


async def _checked(
    host: str, port: int, policy: AddressPolicy, timeout: float
) -> list[SockAddress]:
    """Every address of the host, each within bounds."""
    if not 0 < len(host) <= _LONGEST_NAME or not 0 < port < 65536:
        raise HostUnreachable(UNREACHABLE)
    if not any(port in ports for ports in policy.allowed_ports):
        raise AddressForbidden(f"It is port {port}.")
    spelled = literal(host, port)
    try:
        async with asyncio.timeout(timeout):
            found = spelled or await look_up(host, port, policy.tenant, policy.gate)
    except (OSError, ValueError) as error:
        raise HostUnreachable(UNREACHABLE) from error
    for each in found:
        _check(each, host, policy, spelled=bool(spelled))
    return found


def _check(found: SockAddress, host: str, policy: AddressPolicy, *, spelled: bool) -> None:
    """
    An address that was spelled out may be called what everybody knows it to be. What a name stands for, which
    networks were closed to us, and where we are ourselves, is the inside's own business.
    """
    address = ip_address(found[1][0])
    if not forbidden(address, policy) and not _is_here(found, policy):
        return
    logger.info("address.forbidden", host=host, address=str(address))
    if spelled and not all(_is_public(each) for each in _ends(address)):
        raise AddressForbidden(f"It stands for {address}.")
    raise HostUnreachable(UNREACHABLE)


async def _connect_to_one(
    found: list[SockAddress], policy: AddressPolicy, timeout: float
) -> socket.socket:
    """Every address gets its share of the time, so that a silent first one can't use it all."""
    last = OSError("no address")
    for family, address in found:
        try:
            async with asyncio.timeout(_PATIENCE):
                (end, *_) = _ends(ip_address(address[0]))
                leave = await policy.gate.connection(policy.tenant, str(end))
            async with asyncio.timeout(timeout / len(found)):
                return await _connect_socket(family, address, leave)
        except OSError as error:
            last = error
    raise last


class _Placed(socket.socket):
    """Gives its place back when it is closed."""

    leave: Leave

    def close(self) -> None:
        super().close()
        self.leave()


async def _connect_socket(
    family: int, address: tuple[str, int] | tuple[str, int, int, int], leave: Leave
) -> socket.socket:
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        stack.callback(leave)
        opened = stack.enter_context(closing(_Placed(family, socket.SOCK_STREAM)))
        opened.leave = leave
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(opened, address)
        loop.call_later(_HANDSHAKE, leave)
        stack.pop_all()
        return opened


def _ends(address: Address) -> Iterator[Address]:
    """The addresses that packets to `address` may end at, the first of them by our own kernel's doing."""
    if isinstance(address, IPv4Address):
        yield address
        return
    bare = int(address)  # without a scope
    last = IPv4Address(bare & 0xFFFFFFFF)
    if _in(bare, _MAPPED) or _in(bare, _NAT64):
        yield last
        return
    yield IPv6Address(bare)
    if any(_in(bare, each) for each in _CARRIERS) or bare >> 32 & 0xFFFFFFFF in _ISATAP:
        yield last
    if _in(bare, _SIX_TO_FOUR):
        yield IPv4Address(bare >> 80 & 0xFFFFFFFF)
    if _in(bare, _TEREDO):
        yield IPv4Address(bare >> 64 & 0xFFFFFFFF)  # its server
        yield IPv4Address(int(last) ^ 0xFFFFFFFF)  # the client, written inverted


def _in(bare: int, network: IPv6Network) -> bool:
    return bare & int(network.netmask) == int(network.network_address)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == net.version and address in net for net in networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _within(address, _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not _within(address, _NOT_PUBLIC_6)


def _is_here(found: SockAddress, policy: AddressPolicy) -> bool:
    """
    Whether the address is one of this very machine's, where more than sshd may listen. Packets that a machine sends
    to itself come from where they go to; asking the kernel for the way sends none.
    """
    family, address = found
    if all(_within(each, policy.allowed_networks) for each in _ends(ip_address(address[0]))):
        return False
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
            probe.connect(address)
            return ip_address(probe.getsockname()[0]) == ip_address(address[0])
    except OSError:
        return False  # there is no way there
