"""Send a result to the orchestrator's address, as the guide's agent did."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Dict

_SECONDS = 30.0
_ANSWER_BYTES = 2000


class SubmissionFailed(Exception):
    """The result did not arrive; the text is a sentence for the person at the terminal."""


def check_address(url: str) -> str:
    """`url` if it is an http or https address with a host. Raises `ValueError`."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https address")
    return url


def submit(url: str, api_key: str, payload: Dict[str, Any]) -> str:
    """
    POSTs `payload` with the key in the header and, for older servers, in the body.

    Returns the server's message. Raises `SubmissionFailed`.
    """
    body = json.dumps(dict(payload, api_key=api_key), allow_nan=False).encode()
    request = urllib.request.Request(  # noqa: S310 - check_address has seen the scheme
        check_address(url),
        data=body,
        headers={"Content-Type": "application/json", "x-api-key": api_key},
        method="POST",
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_SECONDS) as response:
            return _message(response.read(_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            answer = _message(error.read(_ANSWER_BYTES))
        raise SubmissionFailed(f"The server answered {error.code}: {answer}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SubmissionFailed(f"{url} could not be reached: {reason}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the API key to an address that nobody typed."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _message(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:300]
    if isinstance(answer, dict):
        return str(answer.get("message") or answer.get("error") or text)[:300]
    return text[:300]
