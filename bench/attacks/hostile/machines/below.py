"""Below SSH: plain sockets that break the transport protocol, or never begin it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import Final

from bench.attacks.hostile.machines.behaviour import FLOODS, Behaviour, told
from tests.machines.raw import RAW

Play = Callable[[StreamReader, StreamWriter], Awaitable[None]]

VERSION: Final = b"SSH-2.0-OpenSSH_9.9\r\n"
_KEX: Final = b"curve25519-sha256"
_SECOND: Final = 1.0

# A safe prime of 4096 bits that is none of the known groups': whoever is told of it has to check it.
_PRIME: Final = bytes.fromhex(
    "ED38FC9DDCD01CDF39C887875AA0A7EFF8682144089FC338C06E2C138653B5E7A082B537BA5C80A93B7192D1"
    "53313DE56606C8E2A0CAE8370284BE3ADD97F04BD4EBDFD21A999E13461B544C49742DE120C46D046F6E9C55"
    "922E68FF3C8A115E51E70071377B60F8127EB9228A332BD38AF8EF1DA8EFA7012496070426203F3BEECBB286"
    "E33C053DC070CD919074DBA97E19C081C6CD8B74DBDF6674F64CD7A7B5F0B7E40B0FD607AF531D55FACAB38C"
    "9F550C1D60D89601E6BA1D6BA66F5E18D4C8D4D634C464EC748A260C285D84158CC3DFA9BC03973F32077F7D"
    "92C104314173584B96C43F22AFEFA135F3A4C5A0D959B963C8227A337DAC30D8B96F7580D67763621C9F51FA"
    "A9E2641D81565810770727EF4C25F8210CCF60B2480070556E874E59D910B9B1822B13420C2843BED4FA4F5C"
    "BD7822D651C07CB8657AD1B3629EB337CBA9F1FA50E819E9DEC1DB564FFBC1DEF0561079F96D8ABD0740BE2C"
    "997F4EEEF7E8244ECAA6E2BA85E832329220C26A7F088165F583343C190B245CEE6AE40E01D2AFAAFDD50930"
    "2EBD989AE641131152538C749718FD8D1642B9802DACF3945C0A445D2ECDCF921F8E360495A564C0EE64D742"
    "24CF93119AFF5BEA0B61ABBF1DB67A6820A4BF9AD622207ECE7DB9ECE03B4FB6D69D06BBCBEACFCF62D85763"
    "DAA5B8C22385D5F4E22352C6EF6495485D00FD019FDF6D629C7D4793"
)


async def resets_at_once(reader: StreamReader, writer: StreamWriter) -> None:
    """Answers the connection with a reset."""
    _reset(writer)


async def banner_without_newline(reader: StreamReader, writer: StreamWriter) -> None:
    """One line ahead of the version that never ends."""
    await _for_ever(writer, b"x" * 16384)


async def banner_by_bytes(reader: StreamReader, writer: StreamWriter) -> None:
    """A banner, one byte a second."""
    await _by_bytes(writer, b"Welcome to this machine!\r\n" * 1000)


async def version_by_bytes(reader: StreamReader, writer: StreamWriter) -> None:
    """Its version, one byte a second."""
    await _by_bytes(writer, VERSION)


async def version_one(reader: StreamReader, writer: StreamWriter) -> None:
    """Speaks SSH-1."""
    writer.write(b"SSH-1.5-OpenSSH_1.2\r\n")
    await reader.read()


async def version_with_escapes(reader: StreamReader, writer: StreamWriter) -> None:
    """Its version is a terminal's escape sequences."""
    writer.write(b"\x1b]52;c;AAAA\x07\r\nSSH-2.0-\x1b[2J\x1b]0;owned\x07\x9b31m\r\n")
    await reader.read()


async def version_too_long(reader: StreamReader, writer: StreamWriter) -> None:
    """A version longer than the 255 bytes that there are."""
    writer.write(b"SSH-2.0-" + b"v" * 8000 + b"\r\n")
    await reader.read()


async def version_over_and_over(reader: StreamReader, writer: StreamWriter) -> None:
    """Its version, and again, and again."""
    await _for_ever(writer, VERSION * 500)


async def garbage_after_version(reader: StreamReader, writer: StreamWriter) -> None:
    """Random bytes where its key exchange should begin."""
    writer.write(VERSION)
    while True:
        await _say(writer, secrets.token_bytes(8192))


async def packet_too_large(reader: StreamReader, writer: StreamWriter) -> None:
    """Announces a packet of four gigabytes, and begins to send it."""
    writer.write(VERSION + b"\xff\xff\xff\xf0")
    await _for_ever(writer, b"x" * 16384)


async def packet_of_nothing(reader: StreamReader, writer: StreamWriter) -> None:
    """Packets of length 0, for ever."""
    writer.write(VERSION)
    await _for_ever(writer, bytes(16384))


async def packet_all_padding(reader: StreamReader, writer: StreamWriter) -> None:
    """A packet that claims more padding than it has bytes."""
    writer.write(VERSION + struct.pack(">IB", 12, 255) + os.urandom(11))
    await reader.read()


async def too_many_algorithms(reader: StreamReader, writer: StreamWriter) -> None:
    """Offers ten thousand key exchanges."""
    names = b",".join(b"kex-%05d@example.com" % n for n in range(10_000))
    writer.write(VERSION + packet(kexinit(names)))
    await reader.read()


async def nothing_in_common(reader: StreamReader, writer: StreamWriter) -> None:
    """Offers no algorithm that anybody has."""
    writer.write(VERSION + packet(kexinit(b"none-of-yours")))
    await reader.read()


async def half_an_offer(reader: StreamReader, writer: StreamWriter) -> None:
    """Half of its offer, and then nothing."""
    offer = packet(kexinit())
    writer.write(VERSION + offer[: len(offer) // 2])
    await reader.read()


async def offer_by_bytes(reader: StreamReader, writer: StreamWriter) -> None:
    """Its offer, one byte a second."""
    writer.write(VERSION)
    await _by_bytes(writer, packet(kexinit()))


async def reset_after_offer(reader: StreamReader, writer: StreamWriter) -> None:
    """A reset right after its offer."""
    writer.write(VERSION + packet(kexinit()))
    await reader.readline()
    _reset(writer)


async def offers_for_ever(reader: StreamReader, writer: StreamWriter) -> None:
    """One offer after the other, and never a key."""
    writer.write(VERSION)
    await _for_ever(writer, packet(kexinit()) * 8)


async def ignore_before_keys(reader: StreamReader, writer: StreamWriter) -> None:
    """Messages to be ignored, for ever, before there are any keys."""
    writer.write(VERSION + packet(kexinit()))
    await _for_ever(writer, packet(b"\x02" + string(b"x" * 8)) * 500)


async def debug_before_keys(reader: StreamReader, writer: StreamWriter) -> None:
    """Debug messages with escape sequences, for ever, before there are any keys."""
    writer.write(VERSION + packet(kexinit()))
    await _for_ever(writer, packet(b"\x04\x01" + string(b"\x1b[2J" * 4) + string(b"")) * 500)


async def unimplemented_before_keys(reader: StreamReader, writer: StreamWriter) -> None:
    """Says of everything that it is not implemented, for ever."""
    writer.write(VERSION + packet(kexinit()))
    await _for_ever(writer, packet(b"\x03" + struct.pack(">I", 0)) * 500)


async def farewell_with_escapes(reader: StreamReader, writer: StreamWriter) -> None:
    """Leaves with a reason made of escape sequences and direction marks."""
    reason = "\x1b]0;owned\x07\u202eliame\x9b2J".encode()
    goodbye = b"\x01" + struct.pack(">I", 2) + string(reason) + string(b"")
    writer.write(VERSION + packet(kexinit()) + packet(goodbye))
    await reader.read()


async def prime_of_its_own(reader: StreamReader, writer: StreamWriter) -> None:
    """Exchanges keys in a group of its own, whose prime takes seconds of CPU to check."""
    offer = kexinit(b"diffie-hellman-group-exchange-sha256")
    group = b"\x1f" + string(b"\0" + _PRIME) + string(b"\x02")
    writer.write(VERSION + packet(offer) + packet(group))
    await reader.read()


async def key_of_garbage(reader: StreamReader, writer: StreamWriter) -> None:
    """Answers the key exchange with a host key and a signature that are none."""
    writer.write(VERSION + packet(kexinit()))
    reply = b"\x1f" + string(os.urandom(64)) + string(os.urandom(32)) + string(os.urandom(83))
    writer.write(packet(reply))
    await reader.read()


_PLAYS: Final[tuple[Play, ...]] = (
    *(resets_at_once, banner_without_newline),
    *(banner_by_bytes, version_by_bytes, version_one, version_with_escapes, version_too_long),
    *(version_over_and_over, garbage_after_version, packet_too_large, packet_of_nothing),
    *(packet_all_padding, too_many_algorithms, nothing_in_common, half_an_offer, offer_by_bytes),
    *(reset_after_offer, offers_for_ever, ignore_before_keys, debug_before_keys),
    *(unimplemented_before_keys, farewell_with_escapes, prime_of_its_own, key_of_garbage),
)
# To whoever has a key on record, one that can't be read is another.
_ALSO: Final = {key_of_garbage: frozenset({"host_key_changed"})}


def behaviours() -> list[Behaviour]:
    """Nobody ever gets to a login here, so each is the same to us: not reached."""
    ends = frozenset({"host_unreachable"})
    named = {**RAW, **{play.__name__: play for play in _PLAYS}}
    return [
        Behaviour(
            *(name, told(play), ends | _ALSO.get(play, frozenset()), _serving(play)),
            keyless=True,
        )
        for name, play in named.items()
    ]


def packet(payload: bytes) -> bytes:
    """As it goes over the line while there are no keys."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def kexinit(key_exchanges: bytes = _KEX) -> bytes:
    """An offer; but for the key exchanges what every server has."""
    ciphers, macs = b"aes128-ctr", b"hmac-sha2-256"
    lists = (
        key_exchanges,
        b"ssh-ed25519",
        ciphers,
        ciphers,
        macs,
        macs,
        b"none",
        b"none",
        b"",
        b"",
    )
    return b"\x14" + os.urandom(16) + b"".join(map(string, lists)) + bytes(5)


def _serving(play: Play) -> Callable[[str], Awaitable[int]]:
    async def serve(host: str) -> int:
        async def met(reader: StreamReader, writer: StreamWriter) -> None:
            try:
                await play(reader, writer)
            except (OSError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(met, host, 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    return serve


async def _say(writer: StreamWriter, data: bytes) -> None:
    await FLOODS.take(len(data))
    writer.write(data)
    await writer.drain()


async def _for_ever(writer: StreamWriter, data: bytes) -> None:
    while True:
        await _say(writer, data)


async def _by_bytes(writer: StreamWriter, data: bytes) -> None:
    for byte in data:
        await _say(writer, bytes((byte,)))
        await asyncio.sleep(_SECOND)


def _reset(writer: StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
