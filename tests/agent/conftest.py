"""Machines that end with their test."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agent.instance import Instance

with warnings.catch_warnings():
    # torch says at import that it found no numpy; nothing of ours needs one.
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
    import torch

# Two cores are shared with others here, and OpenMP's threads would spin for each other.
torch.set_num_threads(1)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Makes the test's machine: `machine(archive)` or `machine(archive, python)`."""
    with ExitStack() as ending:

        def make(*arguments: object) -> Instance:
            made = Instance(tmp_path, *arguments)  # type: ignore[arg-type]
            ending.callback(made.close)
            return made

        yield make
