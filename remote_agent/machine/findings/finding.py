"""A finding: what is wrong, by its name and in a sentence."""

from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Set


class Finding(NamedTuple):
    """`code` is one of the words that the docstrings of this room give, `message` one sentence with figures."""

    code: str
    message: str


def distinct(findings: Iterable[Finding]) -> List[Finding]:
    """The first finding of each code: one fault is often seen by several who look."""
    seen: Set[str] = set()
    kept: List[Finding] = []
    for finding in findings:
        if finding.code not in seen:
            seen.add(finding.code)
            kept.append(finding)
    return kept


def there(findings: Iterable[Optional[Finding]]) -> List[Finding]:
    """The findings that were made."""
    return [finding for finding in findings if finding]


def card_of(gpu: Mapping[str, Any]) -> str:
    """How messages name a card."""
    return f"card {gpu.get('index') or 0}"


def many(number: int, word: str, words: str) -> str:
    """A number and what it counts."""
    return f"{number} {word if number == 1 else words}"
