"""What the API works with, made once a process and handed to every request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from orchestrator.config import Settings
from orchestrator.database.session import Database
from orchestrator.vault import Vault


@dataclass(frozen=True)
class Surface:
    """`database` is the API's login; `public_url` is how clients reach us, without a final slash."""

    database: Database
    vault: Vault
    settings: Settings
    session_secret: str = field(repr=False)
    public_url: str | None = None


def _surface(request: Request) -> Surface:
    surface: Surface = request.app.state.surface
    return surface


Given = Annotated[Surface, Depends(_surface)]
