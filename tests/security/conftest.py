"""The short form of `make security` stands on the PostgreSQL of all tests."""

from __future__ import annotations

import pytest

from bench.attacks.ground import Ground


@pytest.fixture(scope="session")
def ground(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(postgres_url, tmp_path_factory.mktemp("ground"))
