"""Which torch is asked for: by driver, cards, Python, C library and what the operator named."""

from __future__ import annotations

from typing import Any

import pytest

from remote_agent.provision import builds
from remote_agent.provision.target import Target, look, version
from remote_agent.spec import Provisioning

H100, V100, B200, P40 = (9, 0), (7, 0), (10, 0), (6, 1)
INDEX = "https://index.example/{build}"
NOTHING: dict[str, Any] = {}


def machine(cuda: str | None, *cards: tuple[int, int], **more: Any) -> Target:
    """A machine with an NVIDIA driver."""
    return Target(has_driver=True, cuda=cuda and version(cuda), capabilities=cards, **more)


def asked(target: Target, python: tuple[int, int] = (3, 11), **orders: Any) -> list[str]:
    tried = builds.attempts(Provisioning(install=True, **orders), target, python)
    index = orders.get("index_url") or ""
    return [f"{one.requirement} {one.build if '{' in index else ''}".strip() for one in tried]


@pytest.mark.parametrize(
    ("cuda", "cards", "release", "expected"),
    [
        ("13.2", [H100], "2.13.0", ["cu132", "cu130", "cu126"]),
        ("13.0", [H100], "2.13.0", ["cu130", "cu132", "cu126"]),
        ("12.4", [H100], "2.13.0", ["cu126"]),
        ("12.4", [H100], "2.5.1", ["cu124", "cu121", "cu118"]),
        ("12.2", [H100], "2.5.1", ["cu121", "cu124", "cu118"]),
        ("12.8", [H100], "2.10.0", ["cu128", "cu126"]),
        ("12.4", [H100], "2.7.1", ["cu126", "cu128", "cu118"]),
        ("12.8", [B200], "2.13.0", []),
        ("12.8", [B200], "2.11.0", ["cu128"]),
        ("13.0", [V100], "2.13.0", ["cu126"]),
        ("13.0", [H100, P40], "2.13.0", ["cu126"]),
        ("11.4", [V100], "2.7.1", ["cu118"]),
        ("11.4", [V100], "2.13.0", []),
        ("10.2", [V100], "2.4.1", []),
        (None, [], "2.13.0", ["cu126"]),
    ],
)
def test_a_build_fits_driver_and_all_cards(
    cuda: str | None, cards: list[tuple[int, int]], release: str, expected: list[str]
) -> None:
    """Only what the driver's CUDA and every card can run; first what the driver knows in full."""
    row = next(row for row in builds.RELEASES if row.number == release)
    assert builds.builds_for(row, machine(cuda, *cards)) == expected


@pytest.mark.parametrize(
    ("target", "orders", "expected"),
    [
        # Without a driver: the small build, then whatever there is.
        (Target(), NOTHING, ["torch==2.13.0+cpu", "torch==2.13.0", "torch"]),
        (Target(), {"torch": "2.13.0+cpu"}, ["torch==2.13.0+cpu", "torch"]),
        (Target(), {"index_url": INDEX}, [
            "torch==2.13.0 cpu", "torch==2.12.1 cpu", "torch==2.11.0 cpu", "torch==2.10.0 cpu",
            "torch==2.9.1 cpu", "torch cpu",
        ]),
        # The public index has one build a release, and that of 2.13 needs a driver for CUDA 13.
        (machine("13.0", H100), NOTHING, [
            "torch==2.13.0+cu130", "torch==2.13.0+cu132", "torch==2.13.0", "torch==2.12.1",
            "torch==2.11.0",
        ]),
        (machine("12.4", H100), NOTHING, [
            "torch==2.13.0+cu126", "torch==2.10.0", "torch==2.9.1", "torch==2.8.0",
        ]),
        (machine("13.0", V100), NOTHING, [
            "torch==2.13.0+cu126", "torch==2.7.1", "torch==2.6.0", "torch==2.5.1",
        ]),
        (machine("10.2", V100), NOTHING, []),
        # A driver that says nothing: as the orders say.
        (machine(None), NOTHING, ["torch==2.13.0", "torch"]),
        # What the operator named is asked for whatever it has, in the end.
        (machine("12.4", H100), {"index_url": "https://index.example"}, [
            "torch==2.13.0+cu126", "torch==2.10.0", "torch==2.9.1", "torch==2.8.0",
            "torch==2.13.0", "torch",
        ]),
        (machine("10.2", V100), {"wheels_dir": "/wheels"}, ["torch==2.13.0", "torch"]),
        (machine("12.4", H100), {"index_url": INDEX, "torch": "2.10.0"}, [
            "torch==2.10.0 cu126", "torch==2.10.0 cu128", "torch==2.9.1 cu126",
            "torch==2.8.0 cu126", "torch==2.7.1 cu126", "torch cu126",
        ]),
        # A named build is asked for and no other.
        (Target(), {"build": "cu128"}, [
            "torch==2.13.0+cu128", "torch==2.10.0", "torch==2.9.1", "torch==2.8.0",
        ]),
        (machine("13.0", H100), {"build": "cpu"}, [
            "torch==2.13.0+cpu", "torch==2.13.0", "torch",
        ]),
        (Target(rocm=True), {"build": "rocm7.2", "index_url": INDEX, "torch": "2.4.0"}, [
            "torch==2.4.0 rocm7.2", "torch==2.5.1 rocm7.2", "torch==2.6.0 rocm7.2",
            "torch==2.7.1 rocm7.2", "torch==2.8.0 rocm7.2", "torch rocm7.2",
        ]),
        # A release from after the table counts as the newest that is known.
        (machine("13.0", H100), {"torch": "2.19.0"}, [
            "torch==2.19.0+cu130", "torch==2.19.0+cu132", "torch==2.19.0", "torch==2.14.1",
            "torch==2.13.0",
        ]),
    ],
)  # fmt: skip
def test_pip_is_asked_in_turn(target: Target, orders: dict[str, Any], expected: list[str]) -> None:
    """The wanted release in the build that fits, then the next that can run here; never one that can't."""
    assert asked(target, **orders) == expected


@pytest.mark.parametrize(
    ("python", "glibc", "first"),
    [
        ((3, 8), (2, 31), "torch==2.4.1+cpu"),
        ((3, 9), (2, 31), "torch==2.8.0+cpu"),
        ((3, 14), (2, 31), "torch==2.13.0+cpu"),
        ((3, 11), (2, 17), "torch==2.6.0+cpu"),
        ((3, 13), (2, 27), "torch==2.6.0+cpu"),
        ((3, 14), (2, 17), None),
        ((3, 11), (2, 12), None),
        ((3, 11), None, None),
        ((3, 20), (2, 31), "torch==2.13.0"),
    ],
)
def test_a_release_serves_python_and_c_library(
    python: tuple[int, int], glibc: tuple[int, int] | None, first: str | None
) -> None:
    """The newest that has wheels for both; a Python from after the table is left to pip."""
    tried = asked(Target(glibc=glibc), python)
    assert (tried[0] if tried else None) == first


def test_a_newer_release_is_better_than_a_newer_python() -> None:
    """Between Pythons, the one that can have the better torch for this driver is preferred."""
    orders, old = Provisioning(), machine("11.8", V100)
    ranks = {minor: builds.rank(orders, old, (3, minor)) for minor in (8, 12, 13, 14)}
    assert ranks[13] == ranks[12] > ranks[8] > ranks[14] == 0
    usual = machine("13.0", H100)
    assert builds.rank(orders, usual, (3, 14)) == len(builds.RELEASES)


def test_a_cpu_build_needs_less_disk() -> None:
    """1.5 GiB for a CPU build, 12 GiB for all that may turn out to be a CUDA build."""
    sizes = [one.gib for one in builds.attempts(Provisioning(), Target(), (3, 11))]
    assert sizes == [builds.CPU_GIB, builds.CUDA_GIB, builds.CUDA_GIB]
    named = builds.attempts(Provisioning(build="cpu"), machine("13.0"), (3, 11))
    assert {one.gib for one in named} == {builds.CPU_GIB}


def test_the_table_is_consistent() -> None:
    """Newest first, every build known, and what the public index has is one of the release's."""
    numbers = [version(row.number) for row in builds.RELEASES]
    assert numbers == sorted(numbers, key=lambda number: number or (0, 0), reverse=True)
    for row in builds.RELEASES:
        assert set(row.builds) <= set(builds.BUILDS)
        assert row.public in row.builds
        assert row.oldest <= row.newest


class Silent:
    """NVML that is not there, or never answers."""

    def answer(self) -> None:
        return None


def test_a_machine_without_nvml_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a driver and no NVML, the driver's CUDA and the cards stay unknown."""
    monkeypatch.setattr("remote_agent.machine.nvml.has_driver", lambda: True)
    monkeypatch.setattr("remote_agent.machine.cards.Question", Silent)
    target = look()
    assert (target.has_driver, target.cuda, target.capabilities) == (True, None, ())
    assert not target.rocm
    assert target.glibc
    assert target.glibc >= (2, 17)
