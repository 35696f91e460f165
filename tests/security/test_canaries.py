"""Secrets of a whole life, searched for: the short form, and that the search finds what gets out."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from bench.attacks.canaries.attack import life_searched, play
from bench.attacks.canaries.forms import Canary, search
from bench.attacks.ground import Ground


async def test_no_secret_gets_anywhere(ground: Ground) -> None:
    """In database, write-ahead log, logs, answers, processes and on the machine there is none of a life's secrets."""
    played = await play(ground, 1, seed=6)
    assert played.held, (played.sentences, played.missed)
    assert played.figures["shown_where_meant"]["API key"] == 1


WAYS_OUT = {  # each with the one place where it is found
    "telling_log": "the log of the api",
    "passing_environment": "environ of",
    "passing_arguments": "cmdline of",
    "plain_column": "table public.gpu_credentials",
}


async def test_each_way_out_is_found() -> None:
    """A key that is logged, handed to a program, or stored in plain is found there."""
    searched = await life_searched(*WAYS_OUT, whole=False)
    for place in WAYS_OUT.values():
        assert any(find.place.startswith(place) for find in searched.leaks), (place, searched.leaks)


@pytest.mark.parametrize(
    "told",
    [
        lambda value: value,
        lambda value: value[::-1],
        lambda value: value.hex().encode(),
        lambda value: value.hex().upper().encode(),
        lambda value: base64.b64encode(value),
        lambda value: base64.b64encode(b"x" + value + b"yz"),
        lambda value: base64.urlsafe_b64encode(b"xy" + value),
        lambda value: quote(value, safe="").encode(),
        lambda value: value.splitlines()[1],
        lambda value: value.replace(b"\n", b"\\n"),
        lambda value: b"\\x" + value.hex().encode(),
    ],
)
def test_a_secret_is_found_in_every_form(told) -> None:  # type: ignore[no-untyped-def]
    """However it is written, and wherever it stands in what is encoded."""
    canary = Canary("it", b"the first line of it\nand the+second/one?\xc3\xa4\xff&")
    assert search("here", b"before " + told(canary.value) + b" after", [canary])
    assert not search("here", b"something else", [canary])
