"""Ctrl-C as an event: cancelling a task from outside can be swallowed by what it is just waiting for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM; a second one ends the process as it would any other."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    handled = (signal.SIGINT, signal.SIGTERM)

    def release() -> None:
        for each in handled:
            loop.remove_signal_handler(each)

    def stopping() -> None:
        stop.set()
        release()

    for each in handled:
        loop.add_signal_handler(each, stopping)
    try:
        yield stop
    finally:
        release()
