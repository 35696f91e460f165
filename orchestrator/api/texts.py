"""Texts that people type: trimmed, bounded, printable."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.api.shapes import Line
from orchestrator.domain.sanitise import printable

_JOINERS: Final = re.compile("[\u200c\u200d]")  # people's words and emoji have them


def _trimmed(value: Any) -> Any:
    return value.strip().replace("\r\n", "\n") if isinstance(value, str) else value


def _printable(value: str) -> str:
    plain = _JOINERS.sub("", value)
    if printable(plain, len(plain)) != plain:
        raise ValueError("holds control characters")
    return value


Word = Annotated[Line, Field(min_length=1), BeforeValidator(_trimmed)]
Lines = Annotated[
    str, Field(min_length=1, max_length=4000), AfterValidator(_printable), BeforeValidator(_trimmed)
]
