"""Requests as a supplier makes them: over HTTP, repeated while nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

_PATIENCE: Final = 60.0
_AGAIN: Final = 0.2


@dataclass
class Client:
    """
    `accepted` are the runs that an answer named: promises that the checker holds us to.
    `on_request` is called once with the next request under way, then forgotten.
    """

    address: str
    accepted: set[str] = field(default_factory=set)
    answers: dict[int, int] = field(default_factory=dict)
    on_request: Callable[[], None] | None = None
    _token: str = ""

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=10)
        self._http = httpx.AsyncClient(
            base_url=self.address, timeout=20, limits=limits, trust_env=False
        )

    async def sign_up(self) -> None:
        login = {"email": "chaos@example.com", "password": "a long password"}
        self._token = (await self._post("/v1/auth/sign-up", login))["access_token"]

    async def onboard(self, fields: dict[str, Any]) -> str:
        """The id of a new instance."""
        answer = await self._post("/functions/v1/onboard-gpu", fields)
        return str(answer["gpu_instance"]["id"])

    async def request(self, instance_id: str) -> str | None:
        """The run that the API promised; None where it said that one was in progress and not which."""
        body = {"gpu_instance_id": instance_id}
        run_id = (await self._post("/functions/v1/request-gpu-test", body)).get("run_id")
        if run_id is not None:
            self.accepted.add(str(run_id))
        return run_id

    async def cancel(self, run_id: str) -> dict[str, Any]:
        """The run as the API tells it once the wish is on record."""
        return await self._post(f"/v1/runs/{run_id}/cancel", {})

    async def ready(self) -> bool:
        """Whether the API says, now, that it is fit for work."""
        try:
            return (await self._http.get("/readyz", timeout=5)).status_code == 200
        except httpx.TransportError:
            return False

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    answer = await self._send(path, body, headers)
                except httpx.TransportError:
                    await asyncio.sleep(_AGAIN)
                    continue
                self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
                if answer.status_code < 300:
                    return dict(answer.json())
                if answer.status_code == 409:
                    return {}
                if answer.status_code < 500:
                    raise AssertionError(f"{path}: {answer.status_code} {answer.text}")
                await asyncio.sleep(_AGAIN)  # the database is away

    async def _send(
        self, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> httpx.Response:
        sending = asyncio.ensure_future(self._http.post(path, json=body, headers=headers))
        hook, self.on_request = self.on_request, None
        if hook is not None:
            await asyncio.sleep(0)
            hook()
        return await sending
