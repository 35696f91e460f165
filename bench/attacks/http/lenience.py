"""
What is taken besides what the document says: a number, or true and false, as its text, and a text as its number, as the
old system's clients send them. Everything else of a body has to be as it is described.
"""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs

_SCALARS: Final = ("boolean", "integer", "number", "string")


class Lenience:
    def __init__(self, document: dict[str, Any]) -> None:
        self._paths = document["paths"]
        self._components = _loosened(document["components"])

    def allows(self, path: str, method: str, body: Any) -> bool:
        """Whether a body is as it is described but for how its scalars are spelled."""
        told = self._paths.get(path, {}).get(method.lower(), {}).get("requestBody")
        if told is None:
            return False
        schema = _loosened(told["content"]["application/json"]["schema"])
        validator = jsonschema_rs.validator_for({**schema, "components": self._components})
        return bool(validator.is_valid(body))


def _loosened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_loosened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    loose = {name: _loosened(below) for name, below in schema.items()}
    if schema.get("type") in _SCALARS and "enum" not in schema:
        loose["type"] = list(_SCALARS)
    return loose
