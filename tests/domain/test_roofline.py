"""Shares of a card's arithmetic and memory, against figures worked out by hand."""

from __future__ import annotations

import pytest

from orchestrator.domain.roofline import mfu_percent, roofline_percent


def test_the_best_published_h100_figure_is_72_percent_of_the_fused_roofline() -> None:
    """7,006 images/s on an H100 SXM (MLPerf Training v3.0) against 9,670: 3,350 GB/s over 346 MB."""
    share = roofline_percent("NVIDIA H100 80GB HBM3", 7006.0, "amp-bf16", 224)
    assert share == pytest.approx(72.4, abs=0.1)
    arithmetic = mfu_percent("NVIDIA H100 80GB HBM3", 7006.0, "amp-bf16", 224)
    assert arithmetic == pytest.approx(100 * 7006 * 24.5 / 990_000)


def test_wider_numbers_and_smaller_images_move_the_roofline() -> None:
    """32-bit activations double the bytes; a quarter of the area takes a quarter of bytes and arithmetic."""
    wide = roofline_percent("A100", 1000.0, "tf32", 224)
    assert wide == pytest.approx(2 * (roofline_percent("A100", 1000.0, "amp-bf16", 224) or 0))
    small = roofline_percent("A100", 4000.0, "amp-bf16", 112)
    assert small == roofline_percent("A100", 1000.0, "amp-bf16", 224)
    assert mfu_percent("A100", 4000.0, "tf32", 112) == pytest.approx(
        2 * (mfu_percent("A100", 1000.0, "amp-bf16", 224) or 0)
    )


def test_an_unknown_card_has_no_shares() -> None:
    """Without an entry, or in a precision without a tensor rate, a share is not told."""
    assert mfu_percent("Mystery 9000", 1000.0, "amp-bf16", 224) is None
    assert roofline_percent(None, 1000.0, "amp-bf16", 224) is None
    assert mfu_percent("A100", 1000.0, "fp32", 224) is None
