"""A finding: what is wrong, by its name and in a sentence."""

from typing import Any, Iterable, List, Mapping, NamedTuple, Optional


class Finding(NamedTuple):
    """`code` is one of the words that the docstrings of this room give, `message` one sentence with figures."""

    code: str
    message: str


def there(findings: Iterable[Optional[Finding]]) -> List[Finding]:
    """The findings that were made."""
    return [finding for finding in findings if finding]


def card_of(gpu: Mapping[str, Any]) -> str:
    """How messages name a card."""
    return f"card {gpu.get('index') or 0}"


def many(number: int, word: str, words: str) -> str:
    """A number and what it counts."""
    return f"{number} {word if number == 1 else words}"
