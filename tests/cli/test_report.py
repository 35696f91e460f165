"""What a person reads at the end of a run: figures with how exact they are, and what explains them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from orchestrator.cli.report import put_result, verdict_lines
from orchestrator.database.models import FigureRow, Result


def figure(name: str, **values: object) -> FigureRow:
    given = {
        "run_id": UUID(int=1), "seq": 1, "user_id": UUID(int=2), "instance_id": UUID(int=3),
        "gpu_index": None, "value": None, "unit": "images/s", "low": None, "high": None,
        "configuration_hash": None, "configuration": {}, "detail": {}, "measured_gpu_name": None,
        "at": datetime(2026, 11, 1, tzinfo=UTC),
    }  # fmt: skip
    return FigureRow(name=name, **{**given, **values})


def test_figures_come_with_their_interval_and_conditions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Value, half of the 95 % interval in percent, unit and conditions; what was not measured says why."""
    result = Result(
        throughput_images_per_sec=1000.0,
        throughput_low=998.0,
        throughput_high=1002.0,
        mfu_percent=2.5,
        roofline_percent=10.25,
        inference_images_per_sec=4000.0,
        batch_size=32,
        num_epochs=1,
        image_size=224,
        precision="amp-bf16",
        mode="cuda-graph",
        channels_last=True,
        configuration_hash="0123456789abcdef",
        evidence=[],
    )
    rows = [
        figure("best training", value=4321.0, low=4300.0, high=4342.0, gpu_index=0,
               configuration={"batch_size": 512, "precision": "amp-bf16", "mode": "compiled"}),
        figure("peer to peer", detail={"error": "not reachable\x1b[2J"}, unit="GB/s"),
    ]  # fmt: skip
    put_result(result, rows)
    shown = capsys.readouterr().out
    assert "1,000.00 images/s +-0.20 % (95 % confidence)" in shown
    assert "2.5 % of its arithmetic (MFU), 10.2 % of its memory roofline (fused)" in shown
    assert "configuration 0123456789abcdef" in shown
    (best,) = [line for line in shown.splitlines() if "best training" in line]
    assert best.split()[2:] == [
        *("0", "4,321.00", "+-0.49", "%", "images/s", "batch", "512,", "amp-bf16,", "compiled")
    ]
    assert "not reachable" in shown
    assert "\x1b" not in shown


def test_findings_are_noted_and_unknowns_are_not_told() -> None:
    """A check that could not be made and a finding are both neither passed nor failed, and told apart."""
    evidence = [
        {"check": "clock", "passed": None, "text": "the line was interrupted"},
        {"check": "throttled", "passed": None, "text": "too hot"},
        {"check": "throughput", "passed": True, "text": "fits"},
    ]
    told = list(verdict_lines(evidence, [{"code": "throttled", "message": "too hot"}]))
    assert [label for label, _ in told] == ["not told", "noted", "ok"]
