"""Names of GPUs as claimed and as measured, and the score that hangs on them."""

from __future__ import annotations

import pytest

from orchestrator.domain.compute_miles import compute_miles_per_hour, factor
from orchestrator.domain.gpu_catalogue import is_cpu, matches, model_of

SAME = [
    ("NVIDIA H100", "NVIDIA H100 80GB HBM3"),
    ("h100", "NVIDIA H100 PCIe"),
    ("H100 SXM", "NVIDIA H100 80GB HBM3"),
    ("A100", "NVIDIA A100-SXM4-80GB"),
    ("NVIDIA A10", "NVIDIA A10"),
    ("L40S", "NVIDIA L40S"),
    ("RTX 4090", "NVIDIA GeForce RTX 4090"),
    ("rtx4090", "NVIDIA GeForce RTX 4090"),
    ("RTX 3080 Ti", "NVIDIA GeForce RTX 3080 Ti"),
    ("RTX 6000 Ada", "NVIDIA RTX 6000 Ada Generation"),
    ("RTX PRO 6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
    ("Quadro RTX 6000", "Quadro RTX 6000"),
    ("RTX A6000", "NVIDIA RTX A6000"),
    ("Tesla T4", "Tesla T4"),
    ("RTX A2000", "NVIDIA RTX A2000 12GB"),
]
OTHER = [
    ("H100", "NVIDIA H200"),
    ("H200", "NVIDIA H100 80GB HBM3"),
    ("H100", "NVIDIA GH200 480GB"),
    ("H200", "NVIDIA GH200 480GB"),
    ("A100", "NVIDIA A10"),
    ("A10", "NVIDIA A100-SXM4-40GB"),
    ("A10", "NVIDIA A10G"),
    ("A10G", "NVIDIA A10"),
    ("L4", "NVIDIA L40"),
    ("L40", "NVIDIA L40S"),
    ("L40S", "NVIDIA L40"),
    ("L40", "NVIDIA L4"),
    ("RTX 6000", "NVIDIA RTX 6000 Ada Generation"),
    ("RTX 6000 Ada", "Quadro RTX 6000"),
    ("RTX 6000", "NVIDIA RTX PRO 6000 Blackwell"),
    ("A6000", "NVIDIA RTX 6000 Ada Generation"),
    ("RTX 3080 Ti", "NVIDIA GeForce RTX 3080"),
    ("RTX 4080 SUPER", "NVIDIA GeForce RTX 4080"),
    ("RTX 4090", "NVIDIA GeForce RTX 4090 Laptop GPU"),
    ("RTX A2000", "NVIDIA RTX A4000"),
    ("H100", "Some Card"),
    ("Some Card", "NVIDIA H100"),
]


@pytest.mark.parametrize(("claimed", "measured"), SAME)
def test_a_card_fits_its_own_name(claimed: str, measured: str) -> None:
    """People's short names fit the driver's long ones."""
    assert matches(claimed, measured)


@pytest.mark.parametrize(("claimed", "measured"), OTHER)
def test_a_card_does_not_fit_anothers_name(claimed: str, measured: str) -> None:
    """Names that contain each other are different cards."""
    assert not matches(claimed, measured)


def test_unknown_and_missing_names_have_no_model() -> None:
    """What the catalogue does not know has no ceiling and no error."""
    assert model_of(None) is model_of("") is model_of("Intel Arc A770") is None
    assert is_cpu(" cpu ")
    assert not is_cpu("CPU-like")
    assert not is_cpu(None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("NVIDIA H100 80GB HBM3", 1.5), ("NVIDIA H200", 1.6), ("NVIDIA A100-SXM4-80GB", 1.2)),
        *(("h100 nvl", 1.5), ("Tesla T4", 1.0), ("NVIDIA A10", 1.0), ("", 1.0), (None, 1.0)),
    ],
)
def test_the_factor_comes_from_the_name(name: str | None, expected: float) -> None:
    """H200 is not caught by another rule; what is not named counts once."""
    assert factor(name) == expected


def test_the_guides_example() -> None:
    """245.5 samples/s on an H100 is 1,325,700 compute miles an hour."""
    assert compute_miles_per_hour(245.5, "NVIDIA H100") == pytest.approx(1_325_700)
