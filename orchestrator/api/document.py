"""
The OpenAPI document: what FastAPI knows of the operations, and what every one of them may answer besides.

Whatever stands before the routes (rates.py, door.py, auth.py) answers for all of them, so it is told here once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from orchestrator.api import examples
from orchestrator.api.problems import MEDIA
from orchestrator.api.rates import LEFT, POLICY

_METHODS: Final = frozenset({"get", "put", "post", "patch", "delete"})
_REFS: Final = ("/Problem", "/OldProblem")
_WORDS: Final = {
    "400": "The request can't be carried out.",
    "401": "There is no valid login.",
    "403": "This login may not do that.",
    "404": "There is no such thing here.",
    "406": "Nothing of it is accepted.",
    "408": "The body came too slowly.",
    "409": "It is in a state that does not allow that.",
    "413": "The body is over 1 MiB.",
    "414": "Path and query are over 8 KiB.",
    "415": "The body is not declared to be JSON.",
    "422": "The input is not valid; `errors` points at what.",
    "429": "There were too many requests.",
    "503": "The database can't be reached.",
    "4XX": "The request can't be carried out.",
}
# Of a POST without an Idempotency-Key: what a repeat does.
REPEATS: Final = {
    "acceptHostKey": "A repeat is refused with 409: the key is no longer on offer.",
    "addHostAuthority": "A repeat is answered with the one there is.",
    "cancelRun": "A repeat changes nothing.",
    "createApiKey": "",  # says it itself
    "createSubmitKey": "No Idempotency-Key is heeded: a repeat makes another key.",
    "previewSchedule": "Nothing is made.",
    "restoreInventory": "A repeat changes nothing.",
    "signIn": "A repeat is another session; no Idempotency-Key is heeded, for the answer is a secret.",
    "signOut": "A repeat changes nothing.",
    "signUp": "A repeat is refused with 409.",
    "submitTestResults": "A repeat is another result, and no Idempotency-Key is heeded; the newest counts.",
}
_HEADERS: Final = {
    POLICY: {
        "description": 'Requests that a caller has in a window of seconds: `"read";q=12000;w=60`.',
        "schema": {"type": "string"},
    },
    LEFT: {
        "description": 'What is left of them, and the seconds until all are back: `"read";r=11999;t=42`.',
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before sending the request again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {
        "description": "How to sign in: `Bearer`.",
        "schema": {"type": "string"},
    },
}
_OF_STATUS: Final = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
_PROBLEM: Final = {
    "type": "urn:harborx:problem:invalid_input",
    "title": "The input is not valid.",
    "status": 422,
    "detail": "The input is not valid. quantity: Input should be less than or equal to 1000000",
    "code": "invalid_input",
    "remedy": "Correct the named fields and send the request again.",
    "errors": [
        {
            "pointer": "quantity",
            "message": "Input should be less than or equal to 1000000",
        }
    ],
}
_OLD_PROBLEM: Final = {
    "error": "There is no such thing here. GPU instance not found.",
    "code": "not_found",
}


def install(app: FastAPI) -> None:
    """Complete the document of `app`, once."""
    plain = app.openapi
    app.openapi = lambda: app.openapi_schema or described(plain())  # type: ignore[method-assign]


def described(document: dict[str, Any]) -> dict[str, Any]:
    document["components"]["headers"] = _HEADERS
    schemas = document["components"]["schemas"]
    schemas["Problem"]["example"] = _PROBLEM
    schemas["OldProblem"]["example"] = _OLD_PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, _, operation in operations(document):
        if path.startswith(("/v1", "/functions")):
            _complete(path, operation)
        if repeat := REPEATS.get(operation["operationId"]):
            operation["description"] = f"{operation.get('description', '')}\n\n{repeat}".strip()
        for status, response in operation["responses"].items():
            response["description"] = _WORDS.get(status, response["description"])
            _name_media(response)
    examples.complete(document)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each as (path, method, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield path, method, operation


def _complete(path: str, operation: dict[str, Any]) -> None:
    old = path.startswith("/functions")
    schema = {"$ref": f"#/components/schemas/{'OldProblem' if old else 'Problem'}"}
    responses = operation["responses"]
    for status in _statuses(operation, old=old):
        responses.setdefault(status, {"description": "", "content": {MEDIA: {"schema": schema}}})
    for status, response in responses.items():
        headers = response.setdefault("headers", {})
        for name in (POLICY, LEFT, *filter(None, [_OF_STATUS.get(status)])):
            headers[name] = {"$ref": f"#/components/headers/{name}"}
    if old and "422" in responses:  # answered with 400
        del responses["422"]


def _statuses(operation: dict[str, Any], *, old: bool) -> list[str]:
    found = ["400", "429", "503"]
    if not old:
        found += ["406", "414"]
        if "requestBody" in operation:
            found += ["408", "413", "415", "422"]
        if operation.get("parameters"):
            found.append("422")
    if operation.get("security"):
        found += ["401", "403"]
    return found


def _name_media(response: dict[str, Any]) -> None:
    """A problem under its own media type; FastAPI knows only the operation's."""
    for media, content in list(response.get("content", {}).items()):
        reference = content.get("schema", {}).get("$ref", "")
        if reference.endswith(_REFS[0]):
            response["content"][MEDIA] = response["content"].pop(media)
        elif reference.endswith(_REFS[1]):
            response["content"]["application/json"] = response["content"].pop(media)
