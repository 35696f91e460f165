"""Texts that people type: trimmed, bounded, printable."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.api.shapes import Line
from orchestrator.domain.sanitise import printable


def _trimmed(value: Any) -> Any:
    return value.strip().replace("\r\n", "\n") if isinstance(value, str) else value


def _printable(value: str) -> str:
    if printable(value, len(value)) != value:
        raise ValueError("holds control characters")
    return value


Word = Annotated[Line, Field(min_length=1), BeforeValidator(_trimmed)]
Lines = Annotated[
    str, Field(min_length=1, max_length=4000), AfterValidator(_printable), BeforeValidator(_trimmed)
]
