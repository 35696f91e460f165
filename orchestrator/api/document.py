"""
The OpenAPI document: what FastAPI knows of the operations, and what every one of them may answer besides.

Whatever stands before the routes (rates.py, door.py, auth.py) answers for all of them, so it is told here once. What
several operations have in common, the refusals above all, stands once under `components`; they point there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from orchestrator.api import examples
from orchestrator.api.idempotency import DESCRIBED
from orchestrator.api.paths import OLD_ENDPOINTS
from orchestrator.api.problems import MEDIA
from orchestrator.api.rates import LEFT, POLICY

_METHODS: Final = frozenset({"get", "put", "post", "patch", "delete"})
_MEDIA: Final = {"Problem": MEDIA, "OldProblem": "application/json"}
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
    **DESCRIBED,
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
    components = document["components"]
    components |= {"headers": _HEADERS, "responses": {}, "parameters": {}, "examples": {}}
    schemas = components["schemas"]
    schemas["Problem"]["example"] = _PROBLEM
    schemas["OldProblem"]["example"] = _OLD_PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, _, operation in operations(document):
        if repeat := REPEATS.get(operation["operationId"]):
            operation["description"] = f"{operation.get('description', '')}\n\n{repeat}".strip()
        _complete(path, operation, components["responses"])
    _share_parameters(document)
    examples.complete(document)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each as (path, method, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield path, method, operation


def _complete(path: str, operation: dict[str, Any], shared: dict[str, Any]) -> None:
    old = path.startswith(OLD_ENDPOINTS)
    responses = operation["responses"]
    refused = {status for status in responses if status[0] in "45"}
    if old or path.startswith("/v1"):
        for response in responses.values():
            headers = response.setdefault("headers", {})
            headers |= {
                name: _ref("headers", name) for name in (*headers, POLICY, LEFT) if name in _HEADERS
            }
        refused |= _refusals(operation, old=old)
    if old:  # answered with 400
        refused.discard("422")
        responses.pop("422", None)
    shape = "OldProblem" if old else "Problem"
    for status in sorted(refused):
        shared[f"{shape}{status}"] = _refusal(shape, status)
        responses[status] = _ref("responses", f"{shape}{status}")


def _refusals(operation: dict[str, Any], *, old: bool) -> set[str]:
    """The statuses of those that come before an operation."""
    found = {"400", "429", "503"}
    if operation.get("security"):
        found |= {"401"} if old else {"401", "403"}
    if not old:
        found |= {"406", "414", "422"}
        if "requestBody" in operation:
            found |= {"408", "413", "415"}
    return found


def _refusal(shape: str, status: str) -> dict[str, Any]:
    named = filter(None, (POLICY, LEFT, _OF_STATUS.get(status)))
    return {
        "description": _WORDS[status],
        "headers": {name: _ref("headers", name) for name in named},
        "content": {_MEDIA[shape]: {"schema": _ref("schemas", shape)}},
    }


def _share_parameters(document: dict[str, Any]) -> None:
    """Of those that are told alike in several operations; `limit` is not the same everywhere."""
    told = [
        each for *_, operation in operations(document) for each in operation.get("parameters", [])
    ]
    times = Counter(json.dumps(each, sort_keys=True) for each in told)
    shared = {_key(each): each for each in told if times[json.dumps(each, sort_keys=True)] > 1}
    document["components"]["parameters"] = shared
    for *_, operation in operations(document):
        if "parameters" in operation:
            operation["parameters"] = [
                _ref("parameters", _key(each)) if shared.get(_key(each)) == each else each
                for each in operation["parameters"]
            ]


def _key(parameter: dict[str, Any]) -> str:
    return f"{parameter['in']}.{parameter['name']}"


def _ref(kind: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{kind}/{name}"}
