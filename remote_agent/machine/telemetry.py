"""What the GPU does while we measure: a sampler in a process of its own, and its readings."""

import json
import os
import select
import subprocess
import sys
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from remote_agent import own_code, processes
from remote_agent.events import EventWriter
from remote_agent.machine import nvml

_PERIOD_SECONDS = 0.1  # most counters are renewed ten times a second; more would only disturb
_READY_SECONDS = 20.0


class Moment(NamedTuple):
    """A reading and when it was taken, in seconds of the monotonic clock."""

    at: float
    reading: nvml.Reading


class Sampler:
    """
    Reads one GPU ten times a second.

    In a process of its own: NVML's calls would take Python's lock from the loop that launches
    kernels, and the measurement would measure its own observer.
    """

    def __init__(self, bus_id: str) -> None:
        self.gpu_index = 0
        self.memory_total_gb: Optional[float] = None
        self._buffer = b""
        self._ended = False
        self._child = subprocess.Popen(
            own_code.command(sys.executable, "sample", bus_id, str(os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._child.stdout is not None
        self._output = self._child.stdout.fileno()
        os.set_blocking(self._output, False)

    def ready(self) -> bool:
        """Waits until the sampler has found its GPU; False without NVML or such a GPU."""
        limit = time.monotonic() + _READY_SECONDS
        lines: List[bytes] = []
        while not lines and not self._ended and time.monotonic() < limit:
            select.select([self._output], [], [], max(0.0, limit - time.monotonic()))
            lines = self._lines()
        if not lines:
            return False
        card = json.loads(lines[0])
        self.gpu_index, self.memory_total_gb = card["index"], card["memory_total_gb"]
        return True

    def take(self) -> List[Moment]:
        """The readings since the last call; does not wait."""
        return [Moment(at, nvml.Reading(*values)) for at, *values in map(json.loads, self._lines())]

    def close(self) -> None:
        """Ends the sampler. Can be called twice."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:  # stuck in the driver
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()

    def _lines(self) -> List[bytes]:
        """The whole lines that wait in the pipe."""
        while not self._ended:
            try:
                piece = os.read(self._output, 65_536)
            except BlockingIOError:
                break
            self._ended = not piece
            self._buffer += piece
        *lines, self._buffer = self._buffer.split(b"\n")
        return lines


class Telemetry:
    """Turns readings into one event a second and, at the end, one summary. Silent without NVML."""

    def __init__(self, bus_id: Optional[str], events: EventWriter) -> None:
        self._events = events
        self._waiting: List[Moment] = []
        self._all: List[Moment] = []
        self._sampler = Sampler(bus_id) if bus_id else None
        if self._sampler and not self._sampler.ready():
            self.close()

    @property
    def memory_total_gb(self) -> Optional[float]:
        return self._sampler.memory_total_gb if self._sampler else None

    def begin(self) -> None:
        """Forgets what was read before: the measurement starts now."""
        if self._sampler:
            self._sampler.take()

    def tick(self, last: bool = False) -> None:
        """Emits a `sample` for every second that is over; the `last` call for the begun one too."""
        if not self._sampler:
            return
        moments = self._sampler.take()
        self._all += moments
        seconds, self._waiting = split_seconds(self._waiting + moments, last)
        for second in seconds:
            self._events.emit("sample", gpu_index=self._sampler.gpu_index, **summary(second))

    def summary(self) -> Dict[str, Any]:
        """The whole measurement as one reading, and how many readings that was."""
        return dict(summary(self._all), readings=len(self._all))

    def close(self) -> None:
        """Ends the sampler. Can be called twice."""
        if self._sampler:
            self._sampler.close()
            self._sampler = None


def sample(bus_id: str, parent: int) -> int:
    """The sampler itself: prints readings as lines of JSON until stdin or process `parent` ends."""
    # A call that hangs in the driver sees no end of stdin. Not in a `preexec_fn`: torch has threads.
    processes.die_with(parent)
    with nvml.opened() as library:
        handle = library.by_bus_id(bus_id) if library else None
        if library is None or handle is None:
            return 1
        total = library.memory_total_gb(handle)
        print(json.dumps({"index": library.index(handle), "memory_total_gb": total}), flush=True)
        due = time.monotonic()
        while True:
            due = max(due + _PERIOD_SECONDS, time.monotonic())
            if select.select([0], [], [], due - time.monotonic())[0]:
                return 0
            print(json.dumps([time.monotonic(), *library.read(handle)]), flush=True)


def mean(values: Iterable[Optional[float]]) -> Optional[float]:
    """The mean of the values that are there, None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def highest(values: Iterable[Optional[float]]) -> Optional[float]:
    """The greatest of the values that are there, None without any."""
    return max((value for value in values if value is not None), default=None)


def summary(moments: List[Moment]) -> Dict[str, Any]:
    """Several readings as one: means, but the highest temperature and memory."""
    readings = [moment.reading for moment in moments]
    return {
        "power_watts": mean(reading.power_watts for reading in readings),
        "temperature_celsius": highest(reading.temperature_celsius for reading in readings),
        "utilization_percent": mean(reading.utilization_percent for reading in readings),
        "memory_used_gb": highest(reading.memory_used_gb for reading in readings),
        "sm_clock_mhz": mean(reading.sm_clock_mhz for reading in readings),
    }


def split_seconds(moments: List[Moment], last: bool) -> Tuple[List[List[Moment]], List[Moment]]:
    """Full seconds of readings, and the rest that waits for its second to end (none if `last`)."""
    seconds: List[List[Moment]] = []
    for moment in moments:
        if not seconds or moment.at - seconds[-1][0].at >= 1.0:
            seconds.append([])
        seconds[-1].append(moment)
    if last or not seconds:
        return seconds, []
    return seconds[:-1], seconds[-1]
