"""Kernels and copies: counted right, timed on the card's clock, checked, and nothing left behind."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.domain.events import Metric
from remote_agent.failure import Failure
from remote_agent.measure import copies, kernels, rates
from remote_agent.measure.figure import Figure, as_event

GIB = 2**30


class Cuda:
    """torch.cuda with four cards, on which 10 ms go by from one event to the next."""

    def __init__(self, capability: tuple[int, int] = (9, 0)) -> None:
        self.capability = capability
        self.card = 0
        self.recorded = 0
        self.done = 0
        self.waits = 0
        self.emptied = 0
        self.reach: Callable[[int, int], bool] = lambda source, target: True
        self.copied_on: list[int] = []
        outer = self

        class Event:
            def __init__(self, enable_timing: bool = False) -> None:
                assert enable_timing
                self.place = self.card = -1

            def record(self) -> None:
                outer.recorded += 1
                self.place, self.card = outer.recorded, outer.card

            def synchronize(self) -> None:
                outer.waits += 1
                outer.done = max(outer.done, self.place)

            def elapsed_time(self, later: Event) -> float:
                assert self.card == later.card, "events of two cards can't be compared"
                assert later.place <= outer.done, "asked for a time that has not come"
                return 10.0 * (later.place - self.place)

        class Device:
            def __init__(self, name: str) -> None:
                _, _, number = name.partition(":")
                self.number = int(number) if number else outer.card

            def __enter__(self) -> None:
                self.before, outer.card = outer.card, self.number

            def __exit__(self, *_: object) -> None:
                outer.card = self.before

        self.Event, self.device = Event, Device

    def synchronize(self) -> None:
        self.waits += 1
        self.done = self.recorded

    def empty_cache(self) -> None:
        self.emptied += 1

    def mem_get_info(self) -> tuple[int, int]:
        return 80 * GIB, 80 * GIB

    def get_device_capability(self) -> tuple[int, int]:
        return self.capability

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 4

    def can_device_access_peer(self, source: int, target: int) -> bool:
        return self.reach(source, target)


class Torch:
    """torch, but what is to lie on a card lies in usual memory; it remembers what was page-locked."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.backends: Any = torch.backends
        self.pinned: list[int] = []
        for name in ("ones", "empty", "full", "randn", "randint"):
            setattr(self, name, self._made(name))

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def Generator(self, device: str) -> Any:  # noqa: N802
        return torch.Generator()

    def _made(self, name: str) -> Callable[..., Any]:
        def make(*shape: Any, device: Any = None, pin_memory: bool = False, **more: Any) -> Any:
            if pin_memory:
                self.pinned.append(shape[0])
            return getattr(torch, name)(*shape, **more)

        return make


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Torch:
    """Has kernels and copies work with four scripted cards, on little data."""
    stand_in = Torch(Cuda())
    for module in (kernels, copies, rates):
        monkeypatch.setattr(module, "torch", stand_in)
    monkeypatch.setattr(kernels, "_SIDES", (64, 32))
    monkeypatch.setattr(kernels, "_TRIAL_SIDE", {"cuda": 32, "cpu": 32})
    monkeypatch.setattr(kernels, "_BUFFER_BYTES", 2**16)
    monkeypatch.setattr(copies, "_BYTES", 2**16)
    return stand_in


def check(figures: list[Figure]) -> None:
    """Each fits the contract, and its value lies within its interval."""
    for figure in figures:
        Metric.model_validate(dict(as_event(figure), type="metric"))
        if figure.value is not None:
            assert figure.low is not None
            assert figure.high is not None
            assert 0 < figure.low <= figure.value <= figure.high


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp64"])
def test_a_wrong_product_is_found(name: str) -> None:
    """A right product passes well below the tolerance; one element that is off by its size does not."""
    kind, tolerance = (
        getattr(torch, kernels._PRECISIONS[name].kind),
        kernels._PRECISIONS[name].tolerance,
    )
    a, b = (torch.randn(300, 300).to(kind) for _ in range(2))
    product = a @ b
    assert kernels.verify(a, b, product, tolerance, name) < tolerance / 5
    for wrong in (float("nan"), float(product[7, 9]) + 4 * 300**0.5):
        product[7, 9] = wrong
        with pytest.raises(Failure) as caught:
            kernels.verify(a, b, product, tolerance, name)
        assert caught.value.code == "wrong_arithmetic"


def test_tf32_in_disguise_is_wrong() -> None:
    """What claims to be fp32 and has only TF32's ten bits of mantissa is found."""
    a, b = (torch.randn(512, 512) for _ in range(2))
    short = [(m.view(torch.int32) & ~0x1FFF).view(torch.float32) for m in (a, b)]
    product = short[0] @ short[1]
    with pytest.raises(Failure):
        kernels.verify(a, b, product, kernels._PRECISIONS["fp32"].tolerance, "fp32")
    assert kernels.verify(a, b, product, kernels._PRECISIONS["tf32"].tolerance, "tf32") > 0


def test_a_kernel_that_computes_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that was not written while it was timed is wrong, whatever lay there before."""
    made = kernels._Product.__init__

    def right_already(product: Any, *arguments: Any) -> None:
        made(product, *arguments)
        product.multiply()

    monkeypatch.setattr(kernels._Product, "__init__", right_already)
    monkeypatch.setattr(kernels.rates, "rate", lambda *_: None)
    for name in ("fp32", "fp8"):
        with pytest.raises(Failure) as caught:
            kernels.matmul("cpu", 0.01, precisions=[name])
        assert caught.value.code == "wrong_arithmetic"


def test_a_processor_is_measured_within_its_budget() -> None:
    """On a CPU the figures are fp32 and what else is quick, and RAM; none takes much longer than told."""
    started = time.monotonic()
    figures = kernels.matmul("cpu", 0.1) + kernels.memory_bandwidth("cpu", 0.1)
    names = [figure.name for figure in figures if figure.name != "matmul bf16"]
    assert names == ["matmul fp32", "memory copy", "memory triad"]
    assert all(figure.value for figure in figures)
    check(figures)
    assert all(figure.detail["seconds"] < 1 for figure in figures)
    assert time.monotonic() - started < 15
    assert copies.host_copies("cpu", 1) == []


def test_work_is_counted(monkeypatch: pytest.MonkeyPatch, card: Torch) -> None:
    """2 n^3 flop a product, two buffers' bytes a copy, three a triad."""
    works: list[float] = []

    def spy(call: Callable[[], None], clock: Any, seconds: float, work: float) -> rates.Rate:
        call()
        works.append(work)
        return rates.of_batches([0.5], work)

    monkeypatch.setattr(kernels.rates, "rate", spy)
    monkeypatch.setattr(kernels, "_LEAST_BUFFER", 2**10)
    product, copy, triad = kernels.matmul("cuda", 9, 3, ["fp64"]) + kernels.memory_bandwidth(
        "cuda", 1
    )
    assert works == [2 * 64**3, 2 * 2**16, 3 * 2**16]
    assert product.value == pytest.approx(2 * 64**3 / 0.5 / 1e12)
    assert copy.value == pytest.approx(2 * 2**16 / 0.5 / 1e9)
    assert triad.value == pytest.approx(3 * 2**16 / 0.5 / 1e9)
    assert (product.gpu_index, product.configuration["side"]) == (3, 64)


def test_a_card_is_timed_by_its_own_clock(card: Torch) -> None:
    """The rate is that of the card's events, read only when they have come, and memory is given back."""
    for figure in kernels.matmul("cuda:2", 0.05, 2, ["fp32", "fp64"]):
        check([figure])
        flop = 2 * figure.configuration["side"] ** 3 * figure.detail["calls"]
        assert figure.value == pytest.approx(flop / 0.01 / 1e12)
    assert card.cuda.emptied == 1
    assert card.cuda.card == 0
    assert card.cuda.waits < card.cuda.recorded


def test_one_wait_a_window() -> None:
    """Between the batches of a window nobody waits for the card."""
    cuda = Cuda()
    waits: list[int] = []
    found = rates.rate(lambda: waits.append(cuda.waits), rates.timing.GpuClock(cuda), 0.4, 1.0)
    timed = waits[-found.detail["batches"] * found.detail["calls"] :]
    windows = found.detail["batches"] / rates._WINDOW_BATCHES
    assert len(set(timed)) <= windows + 1


def test_a_batchs_work_is_that_of_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of two calls has done the work of two, in the time of the batch."""
    monkeypatch.setattr(rates, "_BATCHES", 5)
    found = rates.rate(lambda: None, rates.timing.GpuClock(Cuda()), 0.1, 7.0)
    assert found.detail["calls"] == 2
    assert found.value == pytest.approx(2 * 7.0 / 0.01)


@pytest.mark.parametrize(
    ("capability", "scaled", "names"),
    [
        ((9, 0), True, "fp32 tf32 fp16 bf16 fp8 fp64"),
        ((8, 9), False, "fp32 tf32 fp16 bf16 fp64"),
        ((8, 6), True, "fp32 tf32 fp16 bf16 fp64"),
        ((7, 5), True, "fp32 fp16 fp64"),
        ((6, 1), True, "fp32 fp64"),
    ],
)
def test_precisions_are_the_hardwares(
    monkeypatch: pytest.MonkeyPatch,
    card: Torch,
    capability: tuple[int, int],
    scaled: bool,
    names: str,
) -> None:
    """What a card would only emulate is left out, and fp8 where this torch can't."""
    card.cuda.capability = capability

    def multiply(a: Any, b: Any, **_: Any) -> Any:
        if not scaled:
            raise RuntimeError("needs compute capability 9.0")
        return a.to(torch.float32) @ b.to(torch.float32)

    monkeypatch.setattr(torch, "_scaled_mm", multiply)
    assert kernels._supported("cuda", None) == names.split()


def test_an_older_torch_has_one_flag(monkeypatch: pytest.MonkeyPatch, card: Torch) -> None:
    """Where the newer flag is unknown, which torch 1.13 says by an AssertionError, the older is set alone."""

    class Flags:
        allow_tf32 = False

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"Unknown attribute {name}")

    flags = Flags()
    card.backends = SimpleNamespace(cuda=SimpleNamespace(matmul=flags))
    with kernels.tf32(True):
        assert flags.allow_tf32
    assert vars(flags) == {"allow_tf32": False}


def test_flags_are_as_before() -> None:
    """TF32 is as asked for within, and as it was afterwards, also after a failure and by the newer flag."""
    flags: Any = torch.backends.cuda.matmul
    for before in (True, False):
        flags.allow_tf32 = before
        for wanted in (True, False):
            with contextlib.suppress(KeyError), kernels.tf32(wanted):
                assert flags.allow_tf32 is wanted
                raise KeyError
            assert flags.allow_tf32 is before
    newer = flags.fp32_precision
    try:
        flags.fp32_precision = "tf32"  # from here on the older flag can't be read
        with kernels.tf32(False):
            assert flags.fp32_precision == "ieee"
        assert flags.fp32_precision == "tf32"
        flags.allow_tf32, flags.fp32_precision = False, "none"
        with kernels.tf32(True):
            assert flags.fp32_precision == "tf32"
        assert flags.fp32_precision == "none"
    finally:
        flags.allow_tf32, flags.fp32_precision = False, newer


@pytest.mark.parametrize(
    ("teraflops", "free", "seconds", "side"),
    [(300, 70, 1, 8192), (1, 70, 1, 2048), (300, 2, 1, 4096), (0.00001, 70, 0.1, 256)],
)
def test_the_side_fits_memory_and_budget(
    monkeypatch: pytest.MonkeyPatch, teraflops: float, free: float, seconds: float, side: int
) -> None:
    """The largest side of which three matrices fit a quarter of the memory, and 20 products the budget."""
    trial = 2 * 1024**3 / teraflops / 1e12
    monkeypatch.setattr(kernels, "_trial_seconds", lambda *_: trial)
    monkeypatch.setattr(kernels, "free_bytes", lambda device: int(free * GIB))
    assert kernels._side("fp32", "cuda:1", None, seconds) == side


def test_a_card_without_room_has_no_figure(monkeypatch: pytest.MonkeyPatch, card: Torch) -> None:
    """What torch can't allocate is a figure without a value that says so, and no failure."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    for name in ("ones", "empty", "full"):
        monkeypatch.setattr(card, name, refuse)
    figures = kernels.matmul("cuda", 0.1, 1, ["fp32"]) + kernels.memory_bandwidth("cuda", 0.1, 1)
    figures += copies.host_copies("cuda", 0.1, 1) + copies.peer_copies(0.1)
    check(figures)
    assert len(figures) == 5 + 12
    assert all(figure.value is None for figure in figures)
    assert all("out of memory" in figure.detail["error"] for figure in figures)


def test_host_copies_are_page_locked(card: Torch) -> None:
    """Both directions from page-locked memory, with the usual memory's figure beside it."""
    figures = copies.host_copies("cuda:1", 0.05, 1)
    check(figures)
    assert [figure.name for figure in figures] == ["host to device", "device to host"]
    for figure in figures:
        moved = 2**16 * figure.detail["calls"]
        assert figure.value == pytest.approx(moved / 0.01 / 1e9)
        assert figure.detail["pageable_gb_per_second"] > 0
    assert card.pinned == [2**16, 2**16]


def test_peers_are_copied_on_the_sources_clock(
    monkeypatch: pytest.MonkeyPatch, card: Torch
) -> None:
    """Each pair that reaches each other is measured on the source's card, and told by our numbers."""
    card.cuda.reach = lambda source, target: source // 2 == target // 2
    on: list[int] = []
    real = rates.rate

    def spy(*arguments: Any) -> rates.Rate:
        on.append(card.cuda.card)
        return real(*arguments)

    monkeypatch.setattr(copies.rates, "rate", spy)
    figures = copies.peer_copies(0.01, [4, 5, 6, 7])
    check(figures)
    told = [(figure.detail["from"], figure.detail["to"], figure.gpu_index) for figure in figures]
    assert sorted(told) == [(4, 5, 4), (5, 4, 5), (6, 7, 6), (7, 6, 7)]
    assert [source for source, _, _ in told] == [number + 4 for number in on]


def test_pairs_begin_with_neighbours() -> None:
    """All ordered pairs once; the first sixteen of eight cards reach each from both sides."""
    assert sorted(copies.pairs(8)) == [(a, b) for a in range(8) for b in range(8) if a != b]
    first = copies.pairs(8)[:16]
    assert {(b - a) % 8 for a, b in first} == {1, 7}
    assert len(set(first)) == 16
    assert copies.pairs(1) == []


def test_the_medians_interval_holds_what_it_promises() -> None:
    """Of a skewed distribution the interval has the true median in 95 of 100 cases or a little more."""
    draw = random.Random(1)
    for count in (7, 20, 100):
        hits = 0
        for _ in range(2000):
            low, high = rates.median_bounds(sorted(draw.expovariate(1) for _ in range(count)))
            hits += low <= 0.6931 <= high
        assert 0.945 < hits / 2000 < 0.995, count
    assert rates.median_bounds([1.0]) == (1.0, 1.0)
