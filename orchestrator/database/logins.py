"""The three logins of one database: its owner (to make it), the API's and the workers'."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.config import Settings
from orchestrator.database.embedded import embedded_server
from orchestrator.domain.errors import ConfigError
from orchestrator.state_folder import read_secret


@dataclass(frozen=True)
class Logins:
    """libpq URLs with passwords, so they are never shown."""

    owner: str = field(repr=False)
    api: str = field(repr=False)
    worker: str = field(repr=False)
    api_password: str = field(repr=False)
    worker_password: str = field(repr=False)


@contextmanager
def database_logins(settings: Settings) -> Iterator[Logins]:
    """The logins of the configured database; starts the embedded server where none is configured."""
    if settings.database.url is None:
        with embedded_server(settings.state_dir) as url:
            yield _logins(settings, url)
    else:
        yield _logins(settings, settings.database.url.get_secret_value())


def _logins(settings: Settings, owner: str) -> Logins:
    try:
        url = make_url(owner)
    except ArgumentError as error:
        raise ConfigError("database.url is not a URL like postgresql://user@host/name.") from error
    if not url.drivername.startswith("postgres"):
        raise ConfigError("database.url is not a PostgreSQL URL.")
    given = settings.database
    api = _password(settings, given.api_password, "database-api-password")
    worker = _password(settings, given.worker_password, "database-worker-password")

    def login(user: str, password: str) -> str:
        own = url.set(drivername="postgresql", username=user, password=password)
        return own.render_as_string(hide_password=False)

    return Logins(
        owner=url.set(drivername="postgresql").render_as_string(hide_password=False),
        api=login("harborx_api", api),
        worker=login("harborx_worker", worker),
        api_password=api,
        worker_password=worker,
    )


def _password(settings: Settings, given: object, name: str) -> str:
    get = getattr(given, "get_secret_value", None)
    return get() if get is not None else read_secret(settings.state_dir, name)
