"""What a requester may choose about one benchmark."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SAMPLES_PER_EPOCH: Final = 1000


class Options(BaseModel):
    """The guide's defaults; an epoch is 1,000 samples in whole batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: Annotated[int, Field(ge=1, le=8192, description="images a step")] = 32
    num_epochs: Annotated[int, Field(ge=1, le=1000, description="1,000 samples each")] = 1
    image_size: Annotated[int, Field(ge=32, le=1024, description="pixels a side")] = 224
    device: Annotated[
        Literal["auto", "cuda", "cpu"], Field(description="auto: CUDA when there is one")
    ] = "auto"

    @property
    def steps(self) -> int:
        return math.ceil(SAMPLES_PER_EPOCH / self.batch_size) * self.num_epochs

    @property
    def images(self) -> int:
        return self.steps * self.batch_size
