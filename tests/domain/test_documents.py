"""Documents that state what the code states too."""

from __future__ import annotations

from pathlib import Path

from orchestrator.domain.errors import catalogue

DOCS = Path(__file__).parents[2] / "docs"


def test_every_code_is_explained_in_the_documents() -> None:
    """docs/errors.md has a row for each code of the catalogue, in its words, and no others."""
    rows = [
        line for line in (DOCS / "errors.md").read_text("utf-8").splitlines() if line[:3] == "| `"
    ]
    expected = [
        f"| `{code}` | {error.sentence} | {error.remedy} |"
        for code, error in sorted(catalogue().items())
    ]
    assert rows == expected
