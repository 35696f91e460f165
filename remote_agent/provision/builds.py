"""
Which torch to ask for: its release, and the build of it that fits the driver and the cards.

Sources, as read when 2.15.0 was new; that one is left out, since its builds were not told yet:

- RELEASES, Pythons and builds: PyTorch's RELEASE.md, "Release Compatibility Matrix". Where it calls
  a Python experimental, the release does not count as serving it. 3.15 is left out as well.
- RELEASES, numbers: the newest patch of each minor release in the public package index (`pip index
  versions torch`). RELEASES, public and glibc: the names of its x86-64 wheels for Python 3.12
  (manylinux1 is taken for 2.17, which later parts of them need; manylinux_2_28 is 2.28) and the
  CUDA packages that they require. Other builds of a release may want a newer glibc (PyTorch's
  issue 126551 has that of 2.6); pip passes over those, and the next is asked for.
- BUILDS, driver: NVIDIA's "Minor Version Compatibility": a program built with CUDA 11, 12 or 13 runs
  with the driver of its major version's first release (450, 525, 580) or any newer one.
- BUILDS, cards: RELEASE.md, "PyTorch CUDA Support Matrix" of 2.9 to 2.14, and PyTorch's issue 157517
  on 12.8 and 12.9 in 2.8. Volta (7.0) is in the 12.8 builds of 2.8 to 2.10 only, so it is sent to
  12.6, which always has it. Builds older than 12.6 are assumed to serve what that one serves.
  Code for 8.0 runs on 8.6 and 8.9 as well, code for 12.0 on 12.1.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

from remote_agent.provision.target import Target, Version, version
from remote_agent.spec import Provisioning

# Free disk to begin with, wheels and all. The CPU build of 2.13 is 0.2 GiB packed and 0.7 unpacked;
# the figure for CUDA builds is an estimate with room, never measured.
CPU_GIB = 1.5
CUDA_GIB = 12.0
_MOST_BUILDS = 2  # of the first release, and
_MOST_RELEASES = 3  # in all: an index that has none of these has none that would do


class Build(NamedTuple):
    """`driver` is the CUDA that the driver must run; `lowest` and `highest` the cards served."""

    driver: Version
    lowest: Version
    highest: Version


class Release(NamedTuple):
    """`oldest` and `newest` Python, the builds there are, and which is in the public index."""

    number: str
    oldest: Version
    newest: Version
    glibc: Version
    builds: Tuple[str, ...]
    public: str


class Attempt(NamedTuple):
    """What pip is asked for; `build` fills an index address, `gib` is the free disk it needs."""

    requirement: str
    build: Optional[str] = None
    gib: float = CUDA_GIB


BUILDS: Dict[str, Build] = {
    "cu118": Build((11, 0), (5, 0), (9, 0)),
    "cu121": Build((12, 0), (5, 0), (9, 0)),
    "cu124": Build((12, 0), (5, 0), (9, 0)),
    "cu126": Build((12, 0), (5, 0), (9, 0)),
    "cu128": Build((12, 0), (7, 5), (12, 9)),
    "cu129": Build((12, 0), (7, 5), (12, 9)),
    "cu130": Build((13, 0), (7, 5), (12, 9)),
    "cu132": Build((13, 0), (7, 5), (12, 9)),
}

_NEW = ("cu126", "cu130", "cu132")
_MIDDLE = ("cu126", "cu128", "cu130")
RELEASES: Tuple[Release, ...] = (
    Release("2.14.1", (3, 10), (3, 14), (2, 28), _NEW, "cu130"),
    Release("2.13.0", (3, 10), (3, 14), (2, 28), _NEW, "cu130"),
    Release("2.12.1", (3, 10), (3, 14), (2, 28), _NEW, "cu130"),
    Release("2.11.0", (3, 10), (3, 14), (2, 28), _MIDDLE, "cu130"),
    Release("2.10.0", (3, 10), (3, 14), (2, 28), _MIDDLE, "cu128"),
    Release("2.9.1", (3, 10), (3, 14), (2, 28), _MIDDLE, "cu128"),
    Release("2.8.0", (3, 9), (3, 13), (2, 28), ("cu126", "cu128", "cu129"), "cu128"),
    Release("2.7.1", (3, 9), (3, 13), (2, 28), ("cu118", "cu126", "cu128"), "cu126"),
    Release("2.6.0", (3, 9), (3, 13), (2, 17), ("cu118", "cu124", "cu126"), "cu124"),
    Release("2.5.1", (3, 9), (3, 12), (2, 17), ("cu118", "cu121", "cu124"), "cu124"),
    Release("2.4.1", (3, 8), (3, 12), (2, 17), ("cu118", "cu121", "cu124"), "cu121"),
)


def attempts(orders: Provisioning, target: Target, python: Version) -> List[Attempt]:
    """
    What to ask pip for, in turn, with a Python of that version; empty where nothing can fit.

    The release of the orders comes first, then older ones, then newer ones. An index or a folder
    that the operator named is asked for whatever it has in the end: it may hold more than is known
    here. A public index is not, since an unfit build of several GiB would be no help.
    """
    if "+" in orders.torch:
        local = orders.torch.partition("+")[2]
        return [_attempt(f"torch=={orders.torch}", local), _attempt("torch", local)]
    anything = _anything(orders, target)
    if python > max(release.newest for release in RELEASES):
        return anything  # a Python from after this table
    fitting = [row for row in _in_turn(orders.torch) if runs_on(row, target, python)]
    if orders.index_url and "{build}" in orders.index_url and not orders.wheels_dir:
        return _by_build(orders, target, fitting)
    tried: List[Attempt] = []
    if _is_told(orders, target):
        tried = _by_full_name(orders, target, fitting) + _public(orders, target, fitting)
    elif fitting:
        tried = anything
    if orders.index_url or orders.wheels_dir:
        tried = tried + anything
    once: Dict[str, Attempt] = {}
    for attempt in tried:
        once.setdefault(attempt.requirement, attempt)
    return list(once.values())


def builds_for(release: Release, target: Target) -> List[str]:
    """
    The builds of a release that this machine's driver and cards can run, best first.

    Those of the driver's own CUDA come first; among them those that it knows in full, since a newer
    one lacks a few features there. Without the driver's word it is the one that asks the least of it.
    """
    if target.cuda is None:
        return sorted(release.builds, key=lambda tag: (BUILDS[tag].driver, -_cuda(tag)[1]))[:1]
    cuda = target.cuda

    def preference(tag: str) -> Tuple[int, bool, int]:
        major, minor = _cuda(tag)
        is_newer = (major, minor) > cuda
        return cuda[0] - major, is_newer, minor if is_newer else -minor

    able = [tag for tag in release.builds if _fits(BUILDS[tag], cuda, target.capabilities)]
    return sorted(able, key=preference)


def runs_on(release: Release, target: Target, python: Version) -> bool:
    """Whether a release has wheels for this C library and a Python of that version."""
    served = release.oldest <= python <= release.newest
    return served and target.glibc is not None and target.glibc >= release.glibc


def rank(orders: Provisioning, target: Target, python: Version) -> int:
    """How good a torch a Python can have, 0 for none: to choose between Pythons."""
    rows = _in_turn(orders.torch)
    for place, row in enumerate(rows):
        if runs_on(row, target, python) and _wanted(orders, target, row):
            return len(rows) - place
    return 0


def _anything(orders: Provisioning, target: Target) -> List[Attempt]:
    """Whatever the index has, where this table can't choose or has run out of choices."""
    wanted = _wanted(orders, target, _in_turn(orders.torch)[0])
    build = wanted[0] if wanted else None
    gib = CPU_GIB if orders.build == "cpu" else CUDA_GIB
    return [Attempt(name, build, gib) for name in (f"torch=={orders.torch}", "torch")]


def _by_build(orders: Provisioning, target: Target, rows: List[Release]) -> List[Attempt]:
    """With an index for each build the address tells the build, so the name need not."""
    tried: List[Attempt] = []
    for row in rows:
        wanted = _wanted(orders, target, row)[: 1 if tried else _MOST_BUILDS]
        tried += [_attempt(f"torch=={row.number}", tag) for tag in wanted]
    tried = tried[: _MOST_BUILDS + _MOST_RELEASES]
    return [*tried, tried[0]._replace(requirement="torch")] if tried else []


def _by_full_name(orders: Provisioning, target: Target, rows: List[Release]) -> List[Attempt]:
    """With one index for all builds, the build is in the name, if the index has it at all."""
    for row in rows:
        wanted = _wanted(orders, target, row)[:_MOST_BUILDS]
        if wanted:
            return [_attempt(f"torch=={row.number}+{tag}", tag) for tag in wanted]
    return []


def _public(orders: Provisioning, target: Target, rows: List[Release]) -> List[Attempt]:
    """The releases whose one build in the public index will do."""
    if orders.build == "cpu" or (orders.build == "auto" and not target.has_driver):
        # Any build computes on a CPU. In the public index it is the large one.
        names = [f"torch=={row.number}" for row in rows[:1]] + ["torch"] if rows else []
        gib = CPU_GIB if orders.build == "cpu" else CUDA_GIB
        return [Attempt(name, None, gib) for name in names]
    able = [row for row in rows if row.public in _wanted(orders, target, row)]
    return [_attempt(f"torch=={row.number}", row.public) for row in able[:_MOST_RELEASES]]


def _wanted(orders: Provisioning, target: Target, release: Release) -> List[str]:
    """The builds of a release to ask for, best first."""
    if orders.build == "auto":
        return builds_for(release, target) if target.has_driver else ["cpu"]
    # What the operator named is asked for even where this table does not know it.
    listed = orders.build in release.builds or orders.build not in BUILDS
    return [orders.build] if listed or release.number == orders.torch else []


def _is_told(orders: Provisioning, target: Target) -> bool:
    """Whether it is known which build belongs here."""
    return orders.build != "auto" or not target.has_driver or target.cuda is not None


def _in_turn(number: str) -> List[Release]:
    """All releases: the wanted one, older ones from the newest on, newer ones from the oldest on."""
    wanted = version(number) or (0, 0)
    older = [row for row in RELEASES if _minor(row) <= wanted]
    newer = [row for row in reversed(RELEASES) if _minor(row) > wanted]
    # One that is older or newer than all that is known here counts as what is nearest to it.
    nearest = (older or newer)[0]
    rest = [row for row in older + newer if _minor(row) != wanted]
    return [nearest._replace(number=number), *rest]


def _fits(build: Build, cuda: Version, capabilities: Tuple[Version, ...]) -> bool:
    return build.driver <= cuda and all(
        build.lowest <= capability <= build.highest for capability in capabilities
    )


def _attempt(requirement: str, build: str) -> Attempt:
    return Attempt(requirement, build, CPU_GIB if build == "cpu" else CUDA_GIB)


def _minor(release: Release) -> Version:
    return version(release.number) or (0, 0)


def _cuda(tag: str) -> Version:
    """The CUDA of a build: cu126 is 12.6."""
    return int(tag[2:4]), int(tag[4:])
