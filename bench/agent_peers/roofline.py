"""
What a known card's memory would let fused kernels reach, in images/s of ResNet-50.

Bytes an image as in orchestrator.domain.roofline, which needs packages that a machine under test has not got; a test
holds the two together. Of variants of one name the catalogue has the fastest.
"""

from __future__ import annotations

from typing import Final

from orchestrator.domain import gpu_catalogue

FUSED_MEGABYTES: Final = {"training": 346.0, "inference": 57.0}
"""An image of 224 x 224 with 16-bit activations: BatchNorm, ReLU and additions fused into their neighbours."""

_WIDTH: Final = {"amp-bf16": 1.0, "amp-fp16": 1.0, "tf32": 2.0, "fp32": 2.0}


def knows(gpu: str | None) -> bool:
    """Whether the catalogue has this card."""
    return gpu_catalogue.model_of(gpu) is not None


def images_per_second(gpu: str | None, kind: str, precision: str, image_size: int) -> float:
    """The roofline of a card that the catalogue `knows`."""
    model = gpu_catalogue.model_of(gpu)
    assert model is not None
    megabytes = FUSED_MEGABYTES[kind] * _WIDTH[precision] * (image_size / 224) ** 2
    return model.memory_gb_per_sec * 1000 / megabytes
