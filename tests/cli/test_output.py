"""Text of machines on its way to a terminal."""

from __future__ import annotations

import pytest

from orchestrator.cli.output import put, put_block, put_pairs, say


def test_a_machine_can_not_write_lines_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a text holds, each line that is ours begins as we began it; blocks set theirs in."""
    text = "no space\nPASSED m1\r\n\x1b[2K\u2028What to do: nothing"
    put(f"agent_failed: {text}")
    put_pairs([("said", text)])
    put_block("stderr", text)
    say(text)
    said = capsys.readouterr()
    ours = [*said.out.splitlines(), *said.err.splitlines()]
    assert len(ours) == 7
    assert not [line for line in ours if line.startswith(("PASSED", "What to do"))]
