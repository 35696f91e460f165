"""A client of our own API, with the standard library only."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.domain.errors import HarborxError

_TIMEOUT: Final = 30.0


class ApiClient:
    """Requests to `address` (http://host:port), signed by a session's token where there is one."""

    def __init__(self, address: str, token: str | None = None) -> None:
        self._authority = urlsplit(address).netloc
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """
        The answer's document.

        Raises `HarborxError` with HTTP's status as evidence; it is 0 where nobody answers.
        """
        connection = http.client.HTTPConnection(self._authority, timeout=_TIMEOUT)
        try:
            connection.request("POST", path, json.dumps(body), self._headers)
            answer = connection.getresponse()
            document: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _refusal(path, 0, type(error).__name__) from error
        finally:
            connection.close()
        if answer.status >= 400:
            said = document.get("detail") or document.get("error") or document
            raise _refusal(path, answer.status, str(said))
        return document


def _refusal(path: str, status: int, said: str) -> HarborxError:
    return HarborxError(f"POST {path} was answered {status}: {said}", evidence={"status": status})
