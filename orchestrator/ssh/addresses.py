"""Where we may connect: resolve once, check every address, connect a socket to a checked one."""

from __future__ import annotations

import asyncio
import socket
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

from orchestrator.domain.errors import AddressForbidden, HostUnreachable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Tenants must not learn from our answers which ports of a network are open, filtered or absent.
UNREACHABLE: Final = (
    "The name did not resolve, or nothing there completed an SSH handshake in time."
)

# Reserved for something else than hosts of the public, and yet `is_global` for Python.
_EXCEPTIONS: Final[tuple[Network, ...]] = (
    ip_network("100.64.0.0/10"),  # carrier-grade NAT; holds Alibaba's metadata 100.100.100.200
    ip_network("168.63.129.16/32"),  # Azure's metadata and DNS
    ip_network("192.0.0.0/24"),  # protocol assignments; holds Oracle's metadata 192.0.0.192
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("64:ff9b:1::/48"),  # NAT64 of local use
    ip_network("fd00:ec2::254/128"),  # AWS's metadata
    ip_network("fec0::/10"),  # site-local
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_MOST_ADDRESSES: Final = 16
_LONGEST_NAME: Final = 253

_SockAddress = tuple[int, tuple[str, int] | tuple[str, int, int, int]]


@dataclass(frozen=True)
class AddressPolicy:
    """Networks that are let through beside the public internet."""

    allowed_networks: tuple[Network, ...] = ()


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
    A connected, non-blocking TCP socket to `host`, which the caller closes. `timeout` in seconds
    covers resolving and connecting.

    Raises `AddressForbidden` if any address of the name is out of bounds, `HostUnreachable`
    (always with the same text) if there is none or none accepts.
    """
    if not 0 < len(host) <= _LONGEST_NAME or not 0 < port < 65536:
        raise HostUnreachable(UNREACHABLE)
    try:
        async with asyncio.timeout(timeout):
            found = await _resolve(host, port)
            _check(found, policy)
            return await _connect_to_one(found[:_MOST_ADDRESSES], timeout)
    except (OSError, UnicodeError, ValueError) as error:
        raise HostUnreachable(UNREACHABLE) from error


async def resolve(endpoint: Endpoint, *, timeout: float) -> list[str]:
    """
    The addresses of the endpoint's host, without connecting to any: what a caller is told of them says nothing
    about ports. `timeout` in seconds.

    Raises as `open_socket`.
    """
    if not 0 < len(endpoint.host) <= _LONGEST_NAME:
        raise HostUnreachable(UNREACHABLE)
    try:
        async with asyncio.timeout(timeout):
            found = await _resolve(endpoint.host, endpoint.port)
    except (OSError, UnicodeError, ValueError) as error:
        raise HostUnreachable(UNREACHABLE) from error
    _check(found, endpoint.policy)
    return [text for _, (text, *_) in found[:_MOST_ADDRESSES]]


def forbidden(address: Address, policy: AddressPolicy = AddressPolicy()) -> bool:
    """Whether `address`, or an IPv4 address carried inside it, is out of bounds."""
    return not all(
        any(each.version == net.version and each in net for net in policy.allowed_networks)
        or _is_public(each)
        for each in _effective(address)
    )


async def _resolve(host: str, port: int) -> list[_SockAddress]:
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in answers]  # type: ignore[misc]


def _check(found: list[_SockAddress], policy: AddressPolicy) -> None:
    for _, (text, *_) in found:
        if forbidden(ip_address(text), policy):
            raise AddressForbidden(f"The name or address stands for {text}.")


async def _connect_to_one(found: list[_SockAddress], timeout: float) -> socket.socket:
    """Every address gets its share of the time, so that a silent first one can't use it all."""
    last = OSError("no address")
    for family, address in found:
        try:
            async with asyncio.timeout(timeout / len(found)):
                return await _connect_socket(family, address)
        except OSError as error:
            last = error
    raise last


async def _connect_socket(
    family: int, address: tuple[str, int] | tuple[str, int, int, int]
) -> socket.socket:
    with ExitStack() as stack:
        opened = stack.enter_context(closing(socket.socket(family, socket.SOCK_STREAM)))
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, address)
        stack.pop_all()
        return opened


def _effective(address: Address) -> list[Address]:
    """The addresses that packets to `address` may end at."""
    if isinstance(address, IPv4Address):
        return [address]
    bare = IPv6Address(int(address))  # without a scope
    if bare.ipv4_mapped is not None:
        return [bare.ipv4_mapped]
    if bare in _NAT64:  # what DNS64 answers for every public IPv4 address
        return [IPv4Address(int(bare) & 0xFFFFFFFF)]
    carried: list[Address] = [bare]
    if bare.sixtofour is not None:
        carried.append(bare.sixtofour)
    if bare.teredo is not None:
        carried.extend(bare.teredo)
    return carried


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address.version == net.version and address in net for net in _EXCEPTIONS)
    )
