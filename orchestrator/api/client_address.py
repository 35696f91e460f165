"""
Where a request comes from: its peer, or what a proxy that we trust says of it.

Anybody may write X-Forwarded-For and X-Forwarded-Proto. They count from `server.trusted_proxies` only, and are
read from the right: what such a proxy added itself stands last.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from starlette.requests import HTTPConnection

from orchestrator.api.surface import Surface

Address = IPv4Address | IPv6Address

_UNTOLD: Final = IPv6Address("::")  # a peer without an address, as behind a Unix socket
_MOST_HOPS: Final = 20
_OF_ONE_CLIENT: Final = {4: 32, 6: 64}  # whoever has an IPv6 address has a /64 of them


def client_address(request: HTTPConnection) -> Address:
    """The nearest address that is no proxy of ours."""
    address = _peer(request)
    if not _trusted(request, address):
        return address
    for said in reversed(_listed(request, "x-forwarded-for")[-_MOST_HOPS:]):
        hop = _parsed(said)
        if hop is None:  # no address of anybody's: the proxy that passed it on is the nearest known
            break
        address = hop
        if not _trusted(request, address):
            break
    return address


def client_network(request: HTTPConnection) -> str:
    """The network that counts as one client: an IPv4 address, or an IPv6 /64."""
    address = client_address(request)
    return str(ip_network((address, _OF_ONE_CLIENT[address.version]), strict=False))


def came_by_https(request: HTTPConnection) -> bool:
    """Whether the client speaks TLS, to us or to a proxy that we trust."""
    if _trusted(request, _peer(request)):
        said = _listed(request, "x-forwarded-proto")
        if said:
            return said[-1].lower() == "https"
    return request.scope.get("scheme") in ("https", "wss")


def _peer(request: HTTPConnection) -> Address:
    return (_parsed(request.client.host) if request.client else None) or _UNTOLD


def _trusted(request: HTTPConnection, address: Address) -> bool:
    surface: Surface = request.app.state.surface
    return any(address in network for network in surface.settings.server.trusted_proxies)


def _listed(request: HTTPConnection, header: str) -> list[str]:
    return [each.strip() for line in request.headers.getlist(header) for each in line.split(",")]


def _parsed(text: str) -> Address | None:
    """Also as some proxies write it, with a port: 192.0.2.1:443, [2001:db8::1]:443."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
