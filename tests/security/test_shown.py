"""What hostile machines say controls nothing where it is shown: the short form, and that its checker can fail."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bench.attacks.ground import Ground
from bench.attacks.shown.attack import play
from bench.attacks.shown.payloads import controls


async def test_nothing_gets_through(ground: Ground) -> None:
    """No control, direction or invisible character reaches a terminal, our JSON, a badge or a log."""
    played = await play(ground, 300, seed=6)
    assert played.held, played.sentences
    assert played.attempted == 300


@pytest.mark.parametrize(
    ("guard", "surface"),
    [
        ("orchestrator.cli.output.printable", "cli plain"),
        ("orchestrator.cli.run_view.printable", "cli terminal"),
        ("orchestrator.api.shown.shown", "api"),
        ("orchestrator.domain.events.printable", "decoder"),
        ("orchestrator.domain.badge.visible", "badge"),
        ("orchestrator.log.shown", "log"),
    ],
)
async def test_a_renderer_that_strips_nothing_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, guard: str, surface: str
) -> None:
    """Each place that makes text safe is needed: without it the attack counts, and names the surface."""
    monkeypatch.setattr(guard, _as_it_is)
    played = await play(ground, 60, seed=6)
    assert played.must_be_zero["controls"] > 0
    assert any(sentence.startswith(f"{surface}:") for sentence in played.sentences)


async def test_a_rule_with_a_hole_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker goes by Unicode and not by the product's own list: what that forgets is counted."""
    rule = "orchestrator.domain.sanitise._CONTROLS"
    monkeypatch.setattr(rule, re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"))
    played = await play(ground, 60, seed=6)
    assert played.must_be_zero["controls"] > 0


@pytest.mark.parametrize(
    "text", ["\x1b", "\x9b", "\r", "\u202e", "\u200b", "\u2028", "\ufeff", "\U000e0041", "\xad"]
)
def test_the_checker_knows_what_controls(text: str) -> None:
    """One character of each family is enough."""
    assert controls(f"NVIDIA{text}H100") == [text]
    assert controls("NVIDIA H100\n\t日本語 é") == []


def _as_it_is(value: Any, *_: Any) -> Any:
    return value
