"""Copies between the host and a GPU, and from GPU to GPU."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

from remote_agent.measure import rates
from remote_agent.measure.figure import Figure
from remote_agent.measure.kernels import GIGA

_BYTES = 2**28
_PAGEABLE_SHARE = 0.25  # of the budget; this figure is only told beside the pinned one
_MOST_PAIRS = 16


def host_copies(device: str, seconds: float, gpu_index: Optional[int] = None) -> List[Figure]:
    """
    GB/s host to device and back, from page-locked memory; from usual memory as detail. None on a CPU.

    256 MiB a copy, `seconds` for each direction.
    """
    if device == "cpu":
        return []
    with rates.current(device) as clock:
        return [
            _host_copy(name, device, clock, seconds, gpu_index)
            for name in ("host to device", "device to host")
        ]


def peer_copies(seconds: float, indices: Optional[Sequence[int]] = None) -> List[Figure]:
    """
    GB/s from GPU to GPU, `seconds` for each of at most 16 ordered pairs that reach each other directly.

    `indices` are the numbers to report the GPUs under, in torch's order.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbers = list(range(count)) if indices is None else list(indices)
    reachable = [pair for pair in pairs(count) if torch.cuda.can_device_access_peer(*pair)]
    return [
        _peer_copy(source, target, seconds, numbers[source], numbers[target])
        for source, target in reachable[:_MOST_PAIRS]
    ]


def pairs(count: int) -> List[Tuple[int, int]]:
    """All ordered pairs, neighbours of the ring first: 16 of them reach every GPU of eight both ways."""
    around = sorted(range(1, count), key=lambda step: min(step, count - step))
    return [(source, (source + step) % count) for step in around for source in range(count)]


def _host_copy(
    name: str, device: str, clock: Any, seconds: float, gpu_index: Optional[int]
) -> Figure:
    share = seconds * _PAGEABLE_SHARE
    try:
        there = torch.ones(_BYTES, dtype=torch.uint8, device=device)
        pinned = torch.empty(_BYTES, dtype=torch.uint8, pin_memory=True).fill_(1)
        usual = torch.ones(_BYTES, dtype=torch.uint8)
        outwards = name == "host to device"
        found = _copied(*_ordered(pinned, there, outwards), clock, seconds - share)
        pageable = _copied(*_ordered(usual, there, outwards), clock, share)
    except (RuntimeError, MemoryError) as error:
        trouble = {"error": rates.error_text(error)}
        return Figure(name, None, "GB/s", gpu_index=gpu_index, detail=trouble)
    told = rates.conditions(device, kernel=name, bytes=_BYTES, pinned=True)
    detail = {"pageable_gb_per_second": pageable.value / GIGA}
    return found.figure(name, "GB/s", GIGA, gpu_index, told, **detail)


def _ordered(host: Any, there: Any, outwards: bool) -> Tuple[Any, Any]:
    """Source and target."""
    return (host, there) if outwards else (there, host)


def _peer_copy(
    source: int, target: int, seconds: float, source_number: int, target_number: int
) -> Figure:
    detail: Dict[str, Any] = {"from": source_number, "to": target_number}
    device = f"cuda:{source}"
    # torch queues a copy between cards on the source's stream, so the clock is the source's too.
    with rates.current(f"cuda:{target}"), rates.current(device) as clock:
        try:
            here = torch.ones(_BYTES, dtype=torch.uint8, device=device)
            there = torch.empty(_BYTES, dtype=torch.uint8, device=f"cuda:{target}")
            found = _copied(here, there, clock, seconds)
        except RuntimeError as error:
            detail["error"] = rates.error_text(error)
            return Figure("peer to peer", None, "GB/s", gpu_index=source_number, detail=detail)
    told = rates.conditions(device, kernel="peer to peer", bytes=_BYTES)
    return found.figure("peer to peer", "GB/s", GIGA, source_number, told, **detail)


def _copied(source: Any, target: Any, clock: Any, seconds: float) -> rates.Rate:
    def copy() -> None:
        target.copy_(source, non_blocking=True)

    return rates.rate(copy, clock, seconds, float(_BYTES))
