"""
GPU models as people claim them and as drivers name them, and what each can do at most.

`train_ceiling` is images/s of ResNet-50 training at 224 x 224 that the card's arithmetic alone would
allow: vendor's dense fp16 tensor TFLOPS / 24.5 GFLOP an image (3 x 8.18 GFLOP, the sum over all
53 convolutions). Memory bandwidth keeps real cards far below, so a figure above it is wrong or forged.

TFLOPS and GB/s (1e9 bytes) are those of the vendors' data sheets; of variants of one name the fastest (an
H100 PCIe has 2,000 GB/s, not 3,350), so that a ceiling never wrongs a card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

TRAIN_GFLOP_PER_IMAGE: Final = 24.5


@dataclass(frozen=True)
class GpuModel:
    name: str
    dense_fp16_tflops: float
    memory_gb_per_sec: float

    @property
    def train_ceiling(self) -> float:
        """Images/s at 224 x 224, by arithmetic alone."""
        return self.dense_fp16_tflops * 1000 / TRAIN_GFLOP_PER_IMAGE


# Longest names first, so that "RTX 6000 ADA" is not taken for "RTX 6000".
CATALOGUE: Final = tuple(
    sorted(
        (
            GpuModel("B200", 2250, 8000),
            GpuModel("GH200", 990, 4900),
            GpuModel("H200", 990, 4800),
            GpuModel("H100", 990, 3350),
            GpuModel("A100", 312, 2039),
            GpuModel("A10G", 125, 600),
            GpuModel("A10", 125, 600),
            GpuModel("A40", 150, 696),
            GpuModel("A6000", 155, 768),
            GpuModel("L40S", 366, 864),
            GpuModel("L40", 181, 864),
            GpuModel("L4", 121, 300),
            GpuModel("V100", 125, 900),
            GpuModel("P100", 21.2, 732),
            GpuModel("T4", 65, 320),
            GpuModel("RTX 6000 ADA", 364, 960),
            GpuModel("RTX PRO 6000", 1000, 1792),
            GpuModel("RTX 5090", 419, 1792),
            GpuModel("RTX 5080", 225, 960),
            GpuModel("RTX 4090", 330, 1008),
            GpuModel("RTX 4080", 195, 736),
            GpuModel("RTX 3090", 142, 936),
            GpuModel("RTX 3080", 119, 760),
            GpuModel("RTX 2080", 89, 616),
        ),
        key=lambda model: -len(model.name),
    )
)

_NOISE: Final = frozenset({"NVIDIA", "GEFORCE", "TESLA", "QUADRO", "GRAPHICS", "GPU"})
_VARIANTS: Final = frozenset({"TI", "SUPER", "LAPTOP"})


def model_of(name: str | None) -> GpuModel | None:
    """The catalogue's model inside a name such as `NVIDIA H100 80GB HBM3`, or None."""
    words = " ".join(_words(name))
    for model in CATALOGUE:
        if re.search(rf"(?<![A-Z0-9]){model.name.replace(' ', ' ?')}(?![0-9A-Z])", words):
            return model
    return None


def is_cpu(claimed: str | None) -> bool:
    """Whether an instance was onboarded to be measured on its CPU."""
    return (claimed or "").strip().upper() == "CPU"


def matches(claimed: str, measured: str) -> bool:
    """
    Whether a measured name fits a claimed one.

    Known models must be the same model and variant (an `RTX 3080` is no `RTX 3080 Ti`); a name the catalogue does not know must have all its words
    in the measured name (`RTX A2000` fits `NVIDIA RTX A2000 12GB`).
    """
    known = model_of(claimed)
    if known is not None or model_of(measured) is not None:
        same = _VARIANTS.intersection(_words(claimed)) == _VARIANTS.intersection(_words(measured))
        return known == model_of(measured) and same
    return set(_words(claimed)) <= set(_words(measured))


def _words(name: str | None) -> list[str]:
    found = re.findall(r"[A-Z0-9]+", (name or "").upper())
    return [word for word in found if word not in _NOISE]
