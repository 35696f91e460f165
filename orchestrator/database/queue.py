"""The link of the job engine to its tables: a few connections, and one round trip for each of its statements."""

from __future__ import annotations

from typing import Any, Final

from procrastinate import PsycopgConnector
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from orchestrator.database.session import KEEPALIVE, can_be_read

_MOST: Final = 5


def queue_connector(url: str, *, prepare: bool) -> PsycopgConnector:
    """For one engine; it opens and closes it."""
    kwargs: dict[str, Any] = dict(KEEPALIVE)
    if not prepare:
        kwargs["prepare_threshold"] = None
    return PsycopgConnector(
        conninfo=url,
        kwargs=kwargs,
        min_size=1,
        max_size=_MOST,
        configure=_each_alone,
        pool_factory=_pool,
    )


async def _each_alone(connection: AsyncConnection[Any]) -> None:
    """procrastinate's statements are transactions of their own: with BEGIN and COMMIT each would be three round trips."""
    await connection.set_autocommit(True)


def _pool(**options: Any) -> AsyncConnectionPool:
    """procrastinate would have a connection asked whether it is alive, a round trip, whenever it is used."""
    return AsyncConnectionPool(**{**options, "check": _look})


async def _look(connection: AsyncConnection[Any]) -> None:
    """See `can_be_read`: where there is something to be read, it is asked."""
    if can_be_read(connection.fileno()):
        await AsyncConnectionPool.check_connection(connection)
