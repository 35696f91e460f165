"""What the product logs while it is attacked in this process is not looked at, and stdout is for figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import structlog


@contextmanager
def silence() -> Iterator[None]:
    """Our own log says nothing within the block."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent
