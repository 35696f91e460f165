"""What a requester may choose about one benchmark."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SAMPLES_PER_EPOCH: Final = 1000

Precision = Literal["auto", "fp32", "tf32", "amp-bf16", "amp-fp16"]
Mode = Literal["auto", "eager", "cuda-graph", "compiled"]
Profile = Literal["quick", "standard", "full", "soak"]


class Options(BaseModel):
    """
    The guide's defaults; an epoch is 1,000 samples in whole batches. At least `num_epochs` are measured, and
    more until the figure is exact to 0.2 %, within the budget.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: Annotated[int, Field(ge=1, le=8192, description="images a step")] = 32
    num_epochs: Annotated[int, Field(ge=1, le=1000, description="1,000 samples each")] = 1
    image_size: Annotated[int, Field(ge=32, le=1024, description="pixels a side")] = 224
    device: Annotated[
        Literal["auto", "cuda", "cpu"], Field(description="auto: CUDA when there is one")
    ] = "auto"
    precision: Annotated[
        Precision, Field(description="auto: the fastest that the card has hardware for")
    ] = "auto"
    channels_last: Annotated[bool, Field(description="images as NHWC in memory")] = True
    mode: Annotated[Mode, Field(description="auto: a CUDA graph on a GPU, eager on a CPU")] = "auto"
    profile: Annotated[
        Profile,
        Field(
            description="what is measured beside the requested training: docs/benchmark-method.md"
        ),
    ] = "quick"
    budget_seconds: Annotated[
        float | None,
        Field(gt=0, le=3600, description="bounds the requested training; unset: by the profile"),
    ] = None

    @property
    def steps(self) -> int:
        """The least that is measured, if the budget allows."""
        return math.ceil(SAMPLES_PER_EPOCH / self.batch_size) * self.num_epochs

    @property
    def images(self) -> int:
        return self.steps * self.batch_size
