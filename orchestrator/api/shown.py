"""What the API says of machines: their texts are made safe here, so that whoever reads it need not."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, model_validator

from orchestrator.domain.sanitise import shown


class Shown(BaseModel):
    """A shape whose texts hold no escape sequence, control, direction or invisible character, however deep they are."""

    as_it_came: ClassVar[frozenset[str]] = frozenset()
    """Fields that are evidence and stay as they were sent; JSON's escapes are all that guards them."""

    @model_validator(mode="after")
    def _show(self) -> Self:
        for name, value in self.__dict__.items():
            if isinstance(value, str | list | dict) and name not in self.as_it_came:
                self.__dict__[name] = shown(value)
        return self
