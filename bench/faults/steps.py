"""The failpoints of the way to a machine: what the story of a run calls is wrapped, by name."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import Any

from bench.faults.points import Failpoints, reach_step
from orchestrator.ssh.clean import clean
from orchestrator.ssh.connection import log_in
from orchestrator.ssh.follow import Following
from orchestrator.ssh.host_keys import first_contact
from orchestrator.ssh.launch import launch


def point_out(points: Failpoints) -> None:
    """Put a point before and after each step of this process."""

    def around(step: str, do: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(do)
        async def pointed(*arguments: Any, **options: Any) -> Any:
            reach_step(points, "before", step)
            answer = await do(*arguments, **options)
            reach_step(points, "after", step)
            return answer

        return pointed

    def entering(
        step: str, do: Callable[..., AbstractAsyncContextManager[Any]]
    ) -> Callable[..., AbstractAsyncContextManager[Any]]:
        @asynccontextmanager
        async def pointed(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
            reach_step(points, "before", step)
            async with do(*arguments, **options) as entered:
                reach_step(points, "after", step)
                yield entered

        return pointed

    def reading(do: Callable[..., AsyncIterator[bytes]]) -> Callable[..., AsyncIterator[bytes]]:
        async def chunks(*arguments: Any, **options: Any) -> AsyncIterator[bytes]:
            reach_step(points, "before", "read")
            async for chunk in do(*arguments, **options):
                reach_step(points, "after", "read")
                yield chunk
                reach_step(points, "before", "read")

        return chunks

    wrapped: tuple[tuple[Any, str, Callable[[str, Any], Any]], ...] = (
        (first_contact, "first_contact", around),
        (log_in, "connect", around),
        (launch, "launch", entering),
        (clean, "clean_up", around),
    )
    for original, step, how in wrapped:
        _replace_everywhere(original, how(step, original))
    Following.chunks = reading(Following.chunks)  # type: ignore[method-assign]


def _replace_everywhere(original: Any, pointed: Any) -> None:
    """In whatever module of the product the name was imported to, before anything runs."""
    places = [
        (module, name)
        for path, module in list(sys.modules.items())
        if path.startswith("orchestrator.")
        for name, value in vars(module).items()
        if value is original
    ]
    if len(places) < 2:
        raise AssertionError(f"nobody calls {original.__qualname__}")
    for module, name in places:
        setattr(module, name, pointed)
