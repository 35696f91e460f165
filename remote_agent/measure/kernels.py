"""Matrix products and memory traffic: what the device can do at most, and whether it computes right."""

import contextlib
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch

from remote_agent.failure import Failure
from remote_agent.machine import probe
from remote_agent.measure import rates
from remote_agent.measure.figure import Figure

SEED = 20_151_210
TERA, GIGA = 1e12, 1e9

_SIDES = (8192, 4096, 2048, 1024, 512, 256)
_TRIAL_SIDE = {"cuda": 1024, "cpu": 256}
_PRODUCTS = 20  # at least, in a budget
_CHECKED_ROWS = 1024
_WORTH = 0.25  # a CPU whose bf16 is slower than this share of its fp32 only emulates it
_BUFFER_BYTES = 2**30
_LEAST_BUFFER = 2**26
_VOLTA, _AMPERE, _ADA, _P100 = (7, 0), (8, 0), (8, 9), (6, 0)


class _Precision(NamedTuple):
    """torch's type, whether TF32 is allowed, bytes an element, and how wrong a row's check may be."""

    kind: str
    tf32: bool
    width: int
    tolerance: float


# Tolerances are of the greatest residual against the usual element of the checked product. A correct
# device stays 5 times below: the greatest of 8,192 rounding errors is about 4.5 times the usual one.
# 8-bit products are summed with 14 bits on Hopper, so they can only be checked coarsely.
_PRECISIONS = {
    "fp32": _Precision("float32", False, 4, 3e-4),
    "tf32": _Precision("float32", True, 4, 2e-2),
    "fp16": _Precision("float16", False, 2, 2e-2),
    "bf16": _Precision("bfloat16", False, 2, 6e-2),
    "fp8": _Precision("float8_e4m3fn", False, 2, 0.25),
    "fp64": _Precision("float64", False, 8, 1e-10),
}


def matmul(
    device: str,
    seconds: float,
    gpu_index: Optional[int] = None,
    precisions: Optional[Sequence[str]] = None,
) -> List[Figure]:
    """
    TFLOPS (2 n^3 a product) of square matrices in each precision that `device` has, `seconds` for each.

    Random operands: a card draws less power, and so runs faster, on zeros. Raises `Failure`
    wrong_arithmetic where a product is wrong.
    """
    with rates.current(device) as clock:
        names = _supported(device, clock) if precisions is None else precisions
        return [_product_figure(name, device, clock, seconds, gpu_index) for name in names]


def memory_bandwidth(device: str, seconds: float, gpu_index: Optional[int] = None) -> List[Figure]:
    """
    GB/s of a copy (a = b) and a triad (a = b + 3 c) in the device's own memory, `seconds` for each.

    Bytes read and written are counted as STREAM does: what a processor fetches only to overwrite is not.
    """
    with rates.current(device) as clock:
        try:
            return _bandwidths(device, clock, seconds, gpu_index)
        except (RuntimeError, MemoryError) as error:
            told = {"error": rates.error_text(error)}
        names = ("memory copy", "memory triad")
        return [Figure(name, None, "GB/s", gpu_index=gpu_index, detail=told) for name in names]


def verify(a: Any, b: Any, product: Any, tolerance: float, name: str) -> float:
    """
    Checks a b = `product` with one random vector of signs, in 64 bits (Freivalds 1977).

    Returns the greatest residual against the usual element. Raises `Failure` wrong_arithmetic.
    """
    signs = torch.randint(0, 2, (b.shape[1], 1), device=b.device) * 2 - 1
    signs = signs.to(torch.float64)
    wanted = _times(a, _times(b, signs))
    found = _times(product, signs)
    usual = float(wanted.pow(2).mean().sqrt())
    worst = float((wanted - found).abs().max()) / usual
    if not worst <= tolerance:  # NaN is wrong too
        raise Failure(
            "wrong_arithmetic",
            f"This machine multiplies matrices wrongly in {name}.",
            f"residual {worst:.3g} of the usual element, allowed {tolerance:.3g}; side {a.shape[0]}",
        )
    return worst


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """TensorFloat-32 for matrix products as `allowed`; torch's flags are afterwards as they were."""
    flags: Any = torch.backends.cuda.matmul
    try:
        newer = flags.fp32_precision
    except (AttributeError, AssertionError):  # before torch 2.9; old ones know no AttributeError
        newer = None
    try:
        before = flags.allow_tf32
    except RuntimeError:  # somebody has set the new flag alone
        before = newer == "tf32"
    flags.allow_tf32 = allowed
    try:
        yield
    finally:
        flags.allow_tf32 = before
        if newer is not None:
            flags.fp32_precision = newer


def free_bytes(device: str) -> int:
    """Free memory of torch's current GPU, or of the machine as far as our cgroup grants it."""
    if device != "cpu":
        return int(torch.cuda.mem_get_info()[0])
    with open("/proc/meminfo", encoding="ascii") as file:
        told = dict(line.split(":", 1) for line in file)
    available = int(told["MemAvailable"].split()[0]) * 1024
    return min(available, probe.ram_bytes() or available)


class _Product:
    """One matrix product of random operands with `side` rows; `result` holds the latest."""

    def __init__(self, name: str, device: str, side: int) -> None:
        kind = getattr(torch, _PRECISIONS[name].kind)
        generator = torch.Generator(device=device).manual_seed(SEED)
        self.a, self.b = (
            torch.randn(side, side, device=device, generator=generator).to(kind) for _ in range(2)
        )
        self.work = 2.0 * side**3
        self.result: Any = None
        self.multiply: Callable[[], None] = self._usual
        if name == "fp8":
            self.b = self.b.t()  # the 8-bit kernels want columns to lie together
            self._one = torch.ones((), device=device)
            self.multiply = self._scaled
        else:
            self.result = torch.empty(side, side, device=device, dtype=kind)

    def forget(self) -> None:
        """Makes a result that is not computed from now on a wrong one."""
        if self.multiply == self._usual:
            self.result.fill_(float("nan"))
        else:
            self.result = torch.full_like(self.a, float("nan"), dtype=torch.bfloat16)

    def _usual(self) -> None:
        torch.mm(self.a, self.b, out=self.result)

    def _scaled(self) -> None:
        result = torch._scaled_mm(
            self.a,
            self.b,
            scale_a=self._one,
            scale_b=self._one,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        # Before torch 2.5 the greatest element came with it.
        self.result = result[0] if isinstance(result, tuple) else result


def _supported(device: str, clock: Any) -> List[str]:
    """The precisions that the current device has hardware for."""
    if device == "cpu":
        took = {name: _trial_seconds(name, device, clock) for name in ("fp32", "bf16")}
        return ["fp32", "bf16"] if took["bf16"] * _WORTH <= took["fp32"] else ["fp32"]
    capability = torch.cuda.get_device_capability()
    amd = torch.version.hip is not None  # its capabilities are no NVIDIA numbers
    has = {
        "fp32": True,
        "tf32": not amd and capability >= _AMPERE,
        "fp16": amd or capability >= _VOLTA or capability == _P100,
        "bf16": amd or capability >= _AMPERE,
        "fp8": not amd and capability >= _ADA and _has_scaled(device),
        "fp64": True,
    }
    return [name for name, there in has.items() if there]


def _has_scaled(device: str) -> bool:
    """Whether this torch multiplies 8-bit matrices on the current card."""
    try:
        _Product("fp8", device, 256).multiply()
        torch.cuda.synchronize()
    except (AttributeError, TypeError, RuntimeError):
        return False
    return True


def _product_figure(
    name: str, device: str, clock: Any, seconds: float, gpu_index: Optional[int]
) -> Figure:
    about = _PRECISIONS[name]
    chosen: Dict[str, Any] = {"kernel": "matmul", "precision": name}
    try:
        with tf32(about.tf32):
            product = _Product(name, device, _side(name, device, clock, seconds))
            chosen["side"] = int(product.a.shape[0])
            product.forget()
            found = rates.rate(product.multiply, clock, seconds, product.work)
            residual = verify(product.a, product.b, product.result, about.tolerance, name)
    except (RuntimeError, MemoryError) as error:
        detail = {"error": rates.error_text(error)}
        return Figure(f"matmul {name}", None, "TFLOPS", gpu_index=gpu_index, detail=detail)
    told = rates.conditions(device, **chosen)
    return found.figure(f"matmul {name}", "TFLOPS", TERA, gpu_index, told, residual=residual)


def _side(name: str, device: str, clock: Any, seconds: float) -> int:
    """The largest side of which a quarter of the free memory holds three, and the budget 20 products."""
    smallest = _TRIAL_SIDE[device.partition(":")[0]]
    each = _trial_seconds(name, device, clock) / smallest**3
    room = free_bytes(device) / 4
    for side in _SIDES:
        fits = 3 * side**2 * _PRECISIONS[name].width <= room
        if fits and each * side**3 * _PRODUCTS <= seconds:
            return side
    return _SIDES[-1]


def _trial_seconds(name: str, device: str, clock: Any) -> float:
    """How long one small product takes; the first ones don't count."""
    product = _Product(name, device, _TRIAL_SIDE[device.partition(":")[0]])
    rates.fixed(product.multiply, clock, 2)
    return min(rates.fixed(product.multiply, clock, 3))


def _times(matrix: Any, vector: Any) -> Any:
    """matrix @ vector in 64 bits, some rows at a time: the whole matrix might not fit so wide."""
    rows = range(0, matrix.shape[0], _CHECKED_ROWS)
    return torch.cat([matrix[n : n + _CHECKED_ROWS].to(torch.float64) @ vector for n in rows])


def _bandwidths(device: str, clock: Any, seconds: float, gpu_index: Optional[int]) -> List[Figure]:
    size = _buffer_bytes(device, clock, seconds)
    a, b, c = (torch.full((size // 4,), 1.0, device=device) for _ in range(3))

    def copy() -> None:
        a.copy_(b)

    def triad() -> None:
        torch.add(b, c, alpha=3.0, out=a)

    kernels: Tuple[Tuple[str, Callable[[], None], int], ...] = (
        ("memory copy", copy, 2),
        ("memory triad", triad, 3),
    )
    figures = []
    for name, kernel, touched in kernels:
        told = rates.conditions(device, kernel=name, buffer_bytes=size)
        found = rates.rate(kernel, clock, seconds, float(touched * size))
        figures.append(found.figure(name, "GB/s", GIGA, gpu_index, told))
    return figures


def _buffer_bytes(device: str, clock: Any, seconds: float) -> int:
    """A power of two, so that it is the same next time: 1 GiB, less where memory or budget is short."""
    size = _BUFFER_BYTES
    while size > _LEAST_BUFFER and size > free_bytes(device) // 8:
        size //= 2
    if device == "cpu":
        a, b = (torch.full((_LEAST_BUFFER // 4,), 1.0) for _ in range(2))
        each = min(rates.fixed(lambda: a.copy_(b), clock, 3)) / _LEAST_BUFFER
        while size > _LEAST_BUFFER and each * size * _PRODUCTS > seconds:
            size //= 2
    return size
