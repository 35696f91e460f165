"""The sampler: a process of its own that reads the cards ten times a second, and our end of its pipe."""

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from typing import Any, List, NamedTuple, Optional, Tuple

from remote_agent import own_code, processes
from remote_agent.machine import cards, nvml, tenants
from remote_agent.machine.reading import Moment, Reading
from remote_agent.output import write_all

PERIOD_SECONDS = 0.1
"""Most counters are renewed ten times a second; to read more often would only disturb."""

_SLOW_EVERY = 10  # periods between two readings of what is slow to ask for
_READY_SECONDS = 20.0
_END_SECONDS = 5.0
_KILL_SECONDS = 1.0
_SET_PIPE_SIZE = 1031  # fcntl.F_SETPIPE_SZ, which Python names since 3.10
_PIPE_BYTES = 2**20  # minutes of readings: nobody takes them while kernels are compiled


class Card(NamedTuple):
    """A card that is sampled; `number` is NVML's, memory is in GiB."""

    number: int
    uuid: Optional[str]
    memory_total_gb: Optional[float]


class Sampler:
    """
    Reads the cards in the PCI slots `bus_ids` ten times a second.

    In a process of its own: NVML's calls would take Python's lock from the loop that launches
    kernels, and the measurement would measure its own observer.
    """

    def __init__(self, bus_ids: List[str]) -> None:
        self._buffer = b""
        self._ended = False
        self._child = subprocess.Popen(
            own_code.command(sys.executable, "sample", str(os.getpid()), *bus_ids),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._child.stdout is not None
        self._output = self._child.stdout.fileno()
        os.set_blocking(self._output, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._output, _SET_PIPE_SIZE, _PIPE_BYTES)

    def ready(self) -> List[Optional[Card]]:
        """
        Waits until the sampler has found its cards, one for each slot, None for a slot without one.

        Empty where there is no NVML, no card at all, or no answer.
        """
        limit = time.monotonic() + _READY_SECONDS
        while b"\n" not in self._buffer and not self._ended and time.monotonic() < limit:
            select.select([self._output], [], [], max(0.0, limit - time.monotonic()))
            self._fill()
        line, newline, self._buffer = self._buffer.partition(b"\n")
        return [card and Card(*card) for card in json.loads(line)] if newline else []

    def take(self) -> List[Tuple[int, Moment]]:
        """The readings since the last call, each with its card's place in `bus_ids`; does not wait."""
        self._fill()
        *lines, self._buffer = self._buffer.split(b"\n")
        return [_parsed(line) for line in lines]

    def close(self) -> None:
        """Ends the sampler. Can be called twice."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._ended = True
        for seconds in (_END_SECONDS, _KILL_SECONDS):
            try:
                self._child.wait(seconds)
                return
            except subprocess.TimeoutExpired:  # stuck in the driver, at worst beyond a kill's reach
                self._child.kill()

    def _fill(self) -> None:
        """Takes all that waits in the pipe."""
        while not self._ended:
            try:
                piece = os.read(self._output, 65_536)
            except BlockingIOError:
                break
            self._ended = not piece
            self._buffer += piece


def sample(parent: int, bus_ids: List[str]) -> int:
    """
    The sampler itself: prints readings as lines of JSON until stdin or process `parent` ends.

    Without a slot it prints once what all cards are. Returns 1 without NVML or such a card.
    """
    # A call that hangs in the driver sees no end of stdin. Not in a `preexec_fn`: torch has threads.
    processes.die_with(parent)
    with nvml.opened() as library:
        if library is None:
            return 1
        if not bus_ids:
            return cards.tell(library, parent)
        handles = [library.by_bus_id(bus_id) for bus_id in bus_ids]
        if not any(handles):
            return 1
        try:
            _introduce(library, handles)
            _read_on(library, handles, parent)
        except BrokenPipeError:  # nobody reads any more
            pass
    return 0


def _introduce(library: nvml.Nvml, handles: List[Any]) -> None:
    found: List[Optional[Card]] = []
    for place, handle in enumerate(handles):
        number = library.index(handle)
        card = Card(
            number=place if number is None else number,
            uuid=library.uuid(handle),
            memory_total_gb=library.memory_gb(handle)[0],
        )
        found.append(card if handle else None)
    write_all(1, json.dumps(found).encode() + b"\n")


def _read_on(library: nvml.Nvml, handles: List[Any], parent: int) -> None:
    queues = [library.watched(handle) if handle else None for handle in handles]
    due, period = time.monotonic(), 0
    while True:
        lines = []
        for place, handle in enumerate(handles):
            if not handle:
                continue
            at = time.monotonic()
            # Cards take turns with what is slow, so that no single look takes long.
            xids: Tuple[int, ...] = ()
            if (period + place) % _SLOW_EVERY:
                reading = library.read(handle)
            else:
                others = tenants.foreign(library.compute_pids(handle), parent)
                reading = library.read_all(handle)._replace(processes=others)
                xids = library.xids(queues[place])
            lines.append(json.dumps([place, round(at, 4), xids, *reading]))
        write_all(1, ("\n".join(lines) + "\n").encode())
        period += 1
        due = max(due + PERIOD_SECONDS, time.monotonic())
        if select.select([0], [], [], due - time.monotonic())[0]:
            return


def _parsed(line: bytes) -> Tuple[int, Moment]:
    place, at, xids, *values = json.loads(line)
    return place, Moment(at, Reading(*values), tuple(xids))
