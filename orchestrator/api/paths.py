"""Which paths are the API's; every other one is the dashboard's."""

from __future__ import annotations

from typing import Final

LISTING: Final = "/v1/listing"
OLD_ENDPOINTS: Final = "/functions/v1/"
_ROOMS: Final = ("v1", "functions", "openapi.json", "healthz", "readyz")


def is_api(path: str) -> bool:
    return path.split("/", 2)[1:2][0] in _ROOMS if path.startswith("/") else False


def is_stream(path: str) -> bool:
    """Whether the answer goes on for as long as something happens."""
    return path == "/v1/instances/changes" or (
        path.startswith("/v1/runs/") and path.endswith("/events")
    )


def is_badge(path: str) -> bool:
    return path.startswith(LISTING) and path.endswith(".svg")
