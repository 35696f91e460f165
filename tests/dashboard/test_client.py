"""The dashboard's types are those of the API as it is: `make client` after a change of the API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_DASHBOARD = Path(__file__).parents[2] / "dashboard"
_STALE = "the client is stale: run `make client` and look at what changed"


def _told(*command: str) -> str:
    answer = subprocess.run(
        [sys.executable, *command], cwd=_DASHBOARD, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_the_document_is_what_the_api_says_of_itself_now() -> None:
    assert (_DASHBOARD / "openapi.json").read_text() == _told("openapi.py"), _STALE


def test_the_types_are_made_of_the_document(tmp_path: Path) -> None:
    made = tmp_path / "schema.d.ts"
    _told(
        "npm.py",
        "exec",
        "--offline",
        "--",
        "openapi-typescript",
        "openapi.json",
        "--output",
        str(made),
    )
    assert (_DASHBOARD / "src/api/schema.d.ts").read_text() == made.read_text(), _STALE
