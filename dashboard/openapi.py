"""Prints the API's OpenAPI document, from which the dashboard's client types are made (`make client`)."""

from __future__ import annotations

import json

from orchestrator.api.app import Surface, create_app
from orchestrator.config import load
from orchestrator.database.session import Database
from orchestrator.vault import Vault


def document() -> str:
    """The document as it is committed; nothing is connected to."""
    database = Database("postgresql://nobody@nowhere.invalid/none")
    surface = Surface(database, Vault(bytes(32)), load(None, {}).settings, "x" * 64)
    told = create_app(surface).openapi()
    told["info"]["version"] = "0"  # the types are not another's with every release
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201
