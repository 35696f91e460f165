"""What the API works with, made once a process and handed to every request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from orchestrator.config import Settings
from orchestrator.database.direct import Direct
from orchestrator.database.session import Database
from orchestrator.domain.errors import InvalidInput
from orchestrator.ssh.user_ca import TrustedCa
from orchestrator.vault import Vault


@dataclass(frozen=True)
class Surface:
    """
    `database` is the API's login; `public_url` is how clients reach us, without a final slash; `user_ca` is what
    machines may trust instead of a key.
    """

    database: Database
    vault: Vault
    settings: Settings
    session_secret: str = field(repr=False)
    public_url: str | None = None
    user_ca: TrustedCa | None = None


def _surface(request: Request) -> Surface:
    surface: Surface = request.app.state.surface
    return surface


def user_ca(given: Surface) -> TrustedCa:
    """Raises `InvalidInput` where there is none."""
    if given.user_ca is None:
        raise InvalidInput("Certificates are not set up on this server.")
    return given.user_ca


def _direct(request: Request) -> Direct:
    direct: Direct = request.app.state.direct
    return direct


Given = Annotated[Surface, Depends(_surface)]
Asking = Annotated[Direct, Depends(_direct)]
