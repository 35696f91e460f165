"""The tree of errors: drawn, coded and explained for every class."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orchestrator.domain import errors
from orchestrator.domain.errors import HarborxError, RequestError, RunError


def _classes(cls: type[HarborxError] = HarborxError) -> Iterator[type[HarborxError]]:
    yield cls
    for sub in cls.__subclasses__():
        yield from _classes(sub)


OURS = [cls for cls in _classes() if cls.__module__ == errors.__name__]


def test_the_drawn_tree_is_the_real_one() -> None:
    """The docstring lists every class below its parent, with its code, and marks what is tried again or put off."""
    drawn: dict[str, tuple[str | None, str, str]] = {}
    above: list[tuple[int, str]] = []
    for row in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ │├└─]{4,})(\w+) +([a-z_]+)( [*+])?$", row)
        if found is None:
            continue
        indent, name, code, mark = found.groups()
        above = [(depth, parent) for depth, parent in above if depth < len(indent)]
        drawn[name] = (above[-1][1] if above else None, code, (mark or "").strip())
        above.append((len(indent), name))
    real = {
        cls.__name__: (
            None if cls is HarborxError else cls.__bases__[0].__name__,
            cls.code,
            "*" if cls.retryable else "+" if getattr(cls, "postpones", False) else "",
        )
        for cls in OURS
    }
    assert drawn == real


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.__name__)
def test_every_error_explains_itself(cls: type[HarborxError]) -> None:
    """Each class has a snake_case code, a sentence of what happened and one of what to do."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.code)
    for text in (cls.sentence, cls.remedy):
        assert text[0].isupper() or text.startswith("~")
        assert text.endswith(".")
    assert str(cls("It was 3.")) == f"{cls.sentence} It was 3."
    assert errors.explain(cls.code).sentence == cls.sentence


def test_a_code_has_one_meaning() -> None:
    """No two classes choose the same code; a family lends its own at most to what inherits all its words."""
    chosen = [cls.code for cls in OURS if "code" in vars(cls)]
    assert len(chosen) == len(set(chosen))
    assert set(errors.catalogue()) == set(chosen)


def test_a_code_of_a_newer_program_is_explained_too() -> None:
    """An unknown stored code explains as the root instead of failing."""
    assert errors.explain("from_the_future") is HarborxError


def test_ends_and_statuses_are_set() -> None:
    """Every error of a run names the state it ends in, every caller's mistake a 4xx status."""
    endings = {cls.ending for cls in OURS if issubclass(cls, RunError)}
    assert endings == {"failed", "inconclusive", "cancelled"}
    assert all(400 <= cls.http_status < 500 for cls in OURS if issubclass(cls, RequestError))
    unproven = {cls.code for cls in OURS if issubclass(cls, RunError) and cls.ending != "failed"}
    assert {cls.code for cls in OURS if issubclass(cls, RunError) and cls.postpones} <= unproven
    assert {"host_rebooted", "provision_failed", "connection_lost", "internal_error"} <= unproven
