"""Above the transport: servers that exchange keys as they should, and break what comes after."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

from asyncssh.packet import Boolean, NameList, String, UInt32

from bench.attacks.hostile.machines.behaviour import FLOODS, Behaviour, told
from bench.attacks.hostile.machines.door import (
    ADJUST,
    AUTH_FAILURE,
    AUTH_SUCCESS,
    CONFIRM,
    DATA,
    DEBUG,
    EXTENDED,
    FAILURE,
    GLOBAL,
    NEWKEYS,
    NO_CHANNEL,
    PING,
    PK_OK,
    REQUEST,
    SERVICE_ACCEPT,
    SUCCESS,
    Door,
    Exec,
    Server,
    banners,
    begin,
    confirm,
    drained,
    flood,
    ignore_me,
    opens,
    packet_on,
    replace,
    silence,
    transport_of,
    waits,
)

UNREACHED: Final = frozenset({"host_unreachable"})
REFUSED: Final = frozenset({"login_refused", "host_unreachable"})
NO_LAUNCH: Final = frozenset({"launch_failed", "push_failed", "connection_lost"})
BROKEN: Final = frozenset({"connection_lost", "launch_failed", "agent_timed_out", "output_flood"})


def behaviours() -> list[Behaviour]:
    return [
        Behaviour(make.__name__, told(make), ends, make().open) for make, ends in _DOORS.items()
    ]


def never_newkeys() -> Door:
    """Exchanges keys and never begins to use them."""
    return Door(met=lambda conn: silence(conn, NEWKEYS))


def only_compressed() -> Door:
    """Talks only compressed, which is how a few bytes become gigabytes."""
    return Door(options={"compression_algs": ["zlib"]})


def rekeys_at_each_packet() -> Door:
    """Exchanges new keys after every packet that it sends, of which there is no end."""
    return Door(inside=ignore_me, options={"rekey_bytes": 1})


def service_never_accepted() -> Door:
    """Never accepts that somebody wants to log in."""
    return Door(met=lambda conn: silence(conn, SERVICE_ACCEPT))


def login_never_answered() -> Door:
    """Never says whether the login is good."""
    return Door(met=lambda conn: silence(conn, AUTH_SUCCESS, AUTH_FAILURE))


def key_never_answered() -> Door:
    """Never says whether it would take the key."""
    return Door(met=lambda conn: silence(conn, PK_OK))


def login_banners() -> Door:
    """Banners with escape sequences in the place of an answer to the login, for ever."""

    def met(conn: Server) -> None:
        replace(conn, AUTH_SUCCESS, lambda: begin(conn, banners))

    return Door(met=met)


def half_a_login() -> Door:
    """Every good login is but a part of what it wants."""

    def met(conn: Server) -> None:
        send = conn.send_packet
        again = (NameList([b"publickey"]), Boolean(True))
        replace(conn, AUTH_SUCCESS, lambda: send(AUTH_FAILURE, *again))

    return Door(met=met)


def nobody_gets_in() -> Door:
    """Refuses every key."""
    return Door(login="nobody")


def anybody_gets_in() -> Door:
    """Lets in whoever comes, without a login."""
    return Door(login="anybody")


def asks_for_a_password() -> Door:
    """Takes nothing but passwords."""
    return Door(login="password")


def ignore_flood() -> Door:
    """Messages to be ignored, for ever, once somebody is in."""
    return Door(inside=ignore_me)


def debug_flood() -> Door:
    """Debug messages with escape sequences, for ever."""
    return Door(inside=flood(DEBUG, Boolean(True), String(b"\x1b[2J\x9b31m"), String(b"")))


def unknown_packets() -> Door:
    """Packets that nobody knows, for ever, whose answers it does not read."""
    return Door(inside=flood(203, String(b"x" * 8), deaf=True))


def pings() -> Door:
    """Pings, for ever, whose answers it does not read."""
    return Door(inside=flood(PING, String(b"x" * 64), deaf=True))


def global_requests() -> Door:
    """Asks for things that nobody has, for ever, and does not read the answers."""
    return Door(inside=flood(GLOBAL, String(b"x@example.com"), Boolean(True), deaf=True))


def host_keys_for_ever() -> Door:
    """Announces a thousand host keys of garbage, over and over."""
    keys = b"".join(String(b"\0\0\0\x0bssh-ed25519" + os.urandom(40)) for _ in range(1000))
    name = String(b"hostkeys-00@openssh.com")
    return Door(inside=flood(GLOBAL, name, Boolean(False), keys, at_once=1))


def opens_sessions() -> Door:
    """Opens sessions on us, for ever."""
    return Door(inside=opens(b"session"))


def opens_x11() -> Door:
    """Opens X11 channels to us, for ever, and does not read the answers."""
    return Door(inside=opens(b"x11", String(b"127.0.0.1"), UInt32(6000)))


def opens_forwarded() -> Door:
    """Opens forwarded TCP connections to us, for ever, and does not read the answers."""
    more = (String(b"127.0.0.1"), UInt32(22), String(b"127.0.0.1"), UInt32(22))
    return Door(inside=opens(b"forwarded-tcpip", *more))


def opens_agent() -> Door:
    """Wants to talk to our SSH agent, for ever, and does not read the answers."""
    return Door(inside=opens(b"auth-agent@openssh.com"))


def garbage_in_keys() -> Door:
    """Random bytes in the place of an encrypted packet."""

    async def inside(conn: Server) -> None:
        transport_of(conn).write(os.urandom(4096))

    return Door(inside=inside)


def unknown_channel() -> Door:
    """Data for a channel that was never opened."""
    return Door(inside=flood(DATA, UInt32(4_000_000_000), String(b"x")))


def refuses_sessions() -> Door:
    """Opens no session, with a reason made of escape sequences."""
    return Door(runs_nothing=True)


def session_never_opened() -> Door:
    """Never says whether it opens the session."""
    return Door(met=lambda conn: silence(conn, CONFIRM, NO_CHANNEL))


def exec_never_answered() -> Door:
    """Never says whether it runs the command."""
    return Door(met=lambda conn: silence(conn, SUCCESS, FAILURE), script=waits)


def exec_refused() -> Door:
    """Refuses every command."""

    def met(conn: Server) -> None:
        send = conn.send_packet

        def say(kind: int, *args: bytes, **more: Any) -> None:
            send(FAILURE if kind == SUCCESS else kind, *args, **more)

        conn.send_packet = say  # type: ignore[method-assign]

    return Door(met=met)


def packets_of_nothing() -> Door:
    """Takes packets of size 0 only."""
    return Door(met=lambda conn: confirm(conn, window=1 << 20, largest=0))


def packets_of_one() -> Door:
    """Takes packets of one byte only, of which the agent would be many."""
    return Door(met=lambda conn: confirm(conn, window=1 << 20, largest=1))


def window_of_nothing() -> Door:
    """Has a window of 0, and never opens it."""
    return Door(met=lambda conn: confirm(conn, window=0, largest=32768))


def window_of_everything() -> Door:
    """Has the largest window there is, and enlarges it over and over."""

    async def script(process: Exec) -> None:
        while True:
            await FLOODS.take(40)
            packet_on(process, ADJUST, UInt32(0xFFFFFFFF))
            await drained(process.get_extra_info("connection"))

    return Door(met=lambda conn: confirm(conn, window=0xFFFFFFFF, largest=1), script=script)


def beyond_the_window() -> Door:
    """Sends more than it was allowed to."""

    async def script(process: Exec) -> None:
        for _ in range(64):
            packet_on(process, DATA, String(b"x" * 200_000))
        await waits(process)

    return Door(script=script)


def strange_streams() -> Door:
    """Error output of kinds that there are not."""

    async def script(process: Exec) -> None:
        for kind in (0, 2, 99, 0xFFFFFFFF):
            packet_on(process, EXTENDED, UInt32(kind), String(b"x" * 100))
        await waits(process)

    return Door(script=script)


def requests_on_our_channel() -> Door:
    """Asks us to run commands and to open terminals, on the channel of our own command."""

    async def script(process: Exec) -> None:
        while True:
            await FLOODS.take(200)
            packet_on(process, REQUEST, String(b"exec"), Boolean(True), String(b"/bin/sh"))
            packet_on(process, REQUEST, String(b"x11-req"), Boolean(True))
            await drained(process.get_extra_info("connection"))

    return Door(script=script)


def goes_deaf_and_dumb() -> Door:
    """From the first command on it answers nothing, keepalives included, and does not hang up."""

    async def script(process: Exec) -> None:
        conn = process.get_extra_info("connection")
        conn.send_packet = lambda *_, **__: None
        transport_of(conn).pause_reading()
        await asyncio.Event().wait()

    return Door(script=script)


_DOORS: Final[dict[Callable[[], Door], frozenset[str]]] = {
    **dict.fromkeys((never_newkeys, only_compressed, rekeys_at_each_packet), UNREACHED | BROKEN),
    **dict.fromkeys((login_never_answered,), UNREACHED),
    # We sign without waiting for that, so they let us in.
    **dict.fromkeys((service_never_accepted, key_never_answered), NO_LAUNCH),
    **dict.fromkeys((login_banners,), UNREACHED),
    **dict.fromkeys((half_a_login, nobody_gets_in, asks_for_a_password), REFUSED),
    **dict.fromkeys((anybody_gets_in,), REFUSED | NO_LAUNCH),
    **dict.fromkeys((ignore_flood, debug_flood, unknown_packets, pings), NO_LAUNCH),
    **dict.fromkeys((global_requests, host_keys_for_ever, opens_sessions, opens_x11), NO_LAUNCH),
    **dict.fromkeys((opens_forwarded, opens_agent, garbage_in_keys, unknown_channel), NO_LAUNCH),
    **dict.fromkeys((refuses_sessions, session_never_opened, exec_never_answered), NO_LAUNCH),
    **dict.fromkeys(
        (exec_refused, packets_of_nothing, packets_of_one, window_of_nothing), NO_LAUNCH
    ),
    **dict.fromkeys((window_of_everything, beyond_the_window, strange_streams), NO_LAUNCH),
    **dict.fromkeys((requests_on_our_channel, goes_deaf_and_dumb), NO_LAUNCH),
}
