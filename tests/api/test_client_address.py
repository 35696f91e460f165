"""Where a request comes from, whatever headers it brings."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from starlette.requests import HTTPConnection

from orchestrator.api.client_address import came_by_https, client_address, client_network
from orchestrator.config import load

PROXIES = ["10.0.0.0/8", "fd00::/8"]


def connection(
    peer: str | None, *headers: tuple[str, str], scheme: str = "http", proxies: list[str] = PROXIES
) -> HTTPConnection:
    settings = load(None, {}, {"server": {"trusted_proxies": proxies}}).settings
    state = SimpleNamespace(surface=SimpleNamespace(settings=settings))
    scope = {
        "type": "http",
        "scheme": scheme,
        "client": (peer, 1) if peer else None,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "app": SimpleNamespace(state=state),
    }
    return HTTPConnection(scope)


FOR = "X-Forwarded-For"


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [(FOR, "198.51.100.1")], "192.0.2.1"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", [(FOR, "198.51.100.1")], "198.51.100.1"),
        ("10.1.1.1", [(FOR, "203.0.113.9, 198.51.100.1, 10.2.2.2")], "198.51.100.1"),
        ("10.1.1.1", [(FOR, "203.0.113.9"), (FOR, "198.51.100.1")], "198.51.100.1"),
        ("10.1.1.1", [(FOR, "198.51.100.1, unknown, 10.2.2.2")], "10.2.2.2"),
        ("10.1.1.1", [(FOR, "198.51.100.1:4711")], "198.51.100.1"),
        ("10.1.1.1", [(FOR, "[2001:db8::1]:4711")], "2001:db8::1"),
        ("10.1.1.1", [(FOR, "")], "10.1.1.1"),
        ("10.1.1.1", [(FOR, "10.9.9.9, 10.8.8.8")], "10.9.9.9"),
        ("::ffff:10.1.1.1", [(FOR, "::ffff:198.51.100.1")], "198.51.100.1"),
        ("fd00::1", [(FOR, "2001:db8::1")], "2001:db8::1"),
        (None, [(FOR, "198.51.100.1")], "::"),
        ("no address", [], "::"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours(
    peer: str | None, headers: list[tuple[str, str]], address: str
) -> None:
    """Only a trusted proxy's word counts, read from the right, and what it can't have meant ends the reading."""
    assert str(client_address(connection(peer, *headers))) == address


def test_nobody_is_trusted_by_default() -> None:
    """Without server.trusted_proxies a header says nothing, not even from this machine."""
    asked = connection("127.0.0.1", (FOR, "198.51.100.1"), proxies=[])
    assert str(client_address(asked)) == "127.0.0.1"


def test_long_chains_are_cut() -> None:
    """No more than twenty hops are read, whatever is sent."""
    asked = connection("10.1.1.1", (FOR, "198.51.100.1, " + ", ".join(["10.0.0.1"] * 5000)))
    assert str(client_address(asked)) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "network"), [("192.0.2.1", "192.0.2.1/32"), ("2001:db8::1:2:3:4", "2001:db8::/64")]
)
def test_the_network_of_one_client(peer: str, network: str) -> None:
    """An IPv4 address is one client, an IPv6 /64 is."""
    assert client_network(connection(peer)) == network


PROTO = "X-Forwarded-Proto"


@pytest.mark.parametrize(
    ("peer", "scheme", "headers", "https"),
    [
        ("192.0.2.1", "http", [], False),
        ("192.0.2.1", "https", [], True),
        ("192.0.2.1", "http", [(PROTO, "https")], False),
        ("10.1.1.1", "http", [(PROTO, "https")], True),
        ("10.1.1.1", "http", [(PROTO, "HTTPS")], True),
        ("10.1.1.1", "http", [(PROTO, "https, http")], False),
        ("10.1.1.1", "https", [(PROTO, "http")], False),
        ("10.1.1.1", "https", [], True),
    ],
)
def test_whether_the_client_speaks_tls(
    peer: str, scheme: str, headers: list[tuple[str, str]], https: bool
) -> None:
    """By the connection itself, or by the word of a trusted proxy."""
    assert came_by_https(connection(peer, *headers, scheme=scheme)) is https
