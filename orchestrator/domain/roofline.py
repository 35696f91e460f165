"""
How much of a known card a figure uses: of its arithmetic (MFU), and of what its memory lets pass.

ResNet-50 at 224 x 224, from a walk over its 53 convolutions: 8.18 GFLOP an image forward, three times that for
training; with BatchNorm, ReLU and additions fused into their neighbours it moves 346 MB an image in training and
57 MB in inference with 16-bit activations, twice that with 32. The model ignores caches, so a small batch on a card with a
large L2 may pass 100 %: a share explains a figure, it does not judge it.
"""

from __future__ import annotations

from typing import Final

from orchestrator.domain import gpu_catalogue
from orchestrator.domain.events import Measurement
from orchestrator.domain.gpu_catalogue import TRAIN_GFLOP_PER_IMAGE

TRAIN_FUSED_MEGABYTES: Final = 346.0
_PEAK_SHARE: Final = {"amp-bf16": 1.0, "amp-fp16": 1.0, "tf32": 0.5}  # of the dense 16-bit rate
_WIDTH: Final = {"amp-bf16": 1.0, "amp-fp16": 1.0, "tf32": 2.0, "fp32": 2.0}


def shares_of(measured: Measurement) -> dict[str, float | None]:
    """`mfu_percent` and `roofline_percent` of a training result; None for what is not known of the card."""
    return {
        "mfu_percent": mfu_percent(
            measured.gpu_name,
            measured.throughput_images_per_sec,
            measured.precision,
            measured.image_size,
        ),
        "roofline_percent": roofline_percent(
            measured.gpu_name,
            measured.throughput_images_per_sec,
            measured.precision,
            measured.image_size,
        ),
    }


def mfu_percent(
    gpu_name: str | None, images_per_sec: float, precision: str, image_size: int
) -> float | None:
    """Model FLOPs utilisation in training: of the card's dense tensor rate in that precision."""
    model, share = gpu_catalogue.model_of(gpu_name), _PEAK_SHARE.get(precision)
    if model is None or share is None:
        return None
    teraflops = images_per_sec * TRAIN_GFLOP_PER_IMAGE * _area(image_size) / 1000
    return 100 * teraflops / (model.dense_fp16_tflops * share)


def roofline_percent(
    gpu_name: str | None, images_per_sec: float, precision: str, image_size: int
) -> float | None:
    """The share of the images/s that the card's memory would let fused training kernels have."""
    model, width = gpu_catalogue.model_of(gpu_name), _WIDTH.get(precision)
    if model is None or width is None:
        return None
    megabytes = TRAIN_FUSED_MEGABYTES * width * _area(image_size)
    return 100 * images_per_sec * megabytes / (model.memory_gb_per_sec * 1000)


def _area(image_size: int) -> float:
    return (image_size / 224) ** 2
