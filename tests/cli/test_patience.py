"""Who opens a connection says what it wants, or is not waited for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from orchestrator.cli.house import bound_socket
from orchestrator.cli.patience import Impatient


class _Quick(Impatient):
    SECONDS = 0.3


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(_app, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Quick(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_a_head_that_does_not_end_is_not_waited_for(port: int, said: bytes) -> None:
    """Neither the first one on a connection nor a later one, however it trickles in."""
    whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for before in (b"", whole):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(before)
        if before:
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        if before and not said:  # between requests a client may be idle
            writer.close()
            continue
        ended = asyncio.create_task(reader.read())
        for byte in said:
            writer.write(bytes((byte,)))
            if (await asyncio.wait({ended}, timeout=0.05))[0]:
                break
        assert await asyncio.wait_for(ended, 10) == b""
        writer.close()


async def test_a_body_has_a_time_of_its_own(port: int) -> None:
    """With its head a request has said what it wants; the rest is the API's to wait for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
    later, silent = await asyncio.open_connection("127.0.0.1", port)
    assert await later.read() == b""  # its time for a head began after ours, and is over
    silent.close()
    writer.write(b"{}")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 400_000,
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 60_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    ],
    ids=["long", "endless", "many", "hosts", "lengths"],
)
async def test_a_head_is_short_and_means_one_thing(port: int, said: bytes) -> None:
    """Over 32 KiB of it, two hosts or two lengths are refused, and the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    answered = b""
    with suppress(ConnectionError):  # what we go on to say meets a closed door
        answered = await asyncio.wait_for(reader.read(), 10)
    assert not answered or answered.startswith(b"HTTP/1.1 400")
    writer.close()


async def test_answers_are_not_held_back() -> None:
    """The second half of an answer does not wait for the client to acknowledge the first."""
    with bound_socket("127.0.0.1", 0) as listening:
        _, writer = await asyncio.open_connection(*listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
