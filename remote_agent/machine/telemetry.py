"""What the GPUs do while we measure: an event a second and card, and at the end all of it, packed."""

import time
from typing import Any, Dict, List, Optional, Tuple

from remote_agent.events import EventWriter
from remote_agent.machine import series
from remote_agent.machine.reading import Moment, Reading, highest, mean, reason_words
from remote_agent.machine.sampler import PERIOD_SECONDS, Card, Sampler

COLUMNS = ("seconds", *Reading._fields)
"""Of the packed readings: seconds since the measurement's start, and what was read then."""

_MOST_MOMENTS = (
    100_000  # held of a card: almost three hours; a longer measurement keeps fewer a second
)
_SLOW = ("pcie_generation", "pcie_width", "processes")


class Telemetry:
    """
    Turns readings of the cards in the PCI slots `bus_ids` into events and a summary.

    Cards are counted as in `bus_ids`; events carry NVML's numbers. Silent without NVML.
    """

    def __init__(self, bus_ids: List[str], events: EventWriter) -> None:
        self._events = events
        self._started = time.monotonic()
        self._sampler = Sampler(bus_ids) if bus_ids else None
        found = self._sampler.ready() if self._sampler else []
        self._watches = [_Watch(card) for card in found or [None] * len(bus_ids)]
        if not any(found):
            self.close()

    @property
    def memory_total_gb(self) -> Optional[float]:
        """The first card's memory."""
        card = self._watches[0].card if self._watches else None
        return card.memory_total_gb if card else None

    def begin(self) -> None:
        """Forgets what was read before: the measurement starts now."""
        self._started = time.monotonic()
        self._watches = [_Watch(watch.card) for watch in self._watches]

    def tick(self, last: bool = False) -> None:
        """Emits a `sample` for every second that is over; the `last` call for the begun one too."""
        for place, moment in self._sampler.take() if self._sampler else []:
            if moment.at >= self._started:  # the pipe may hold older ones
                self._watches[place].add(moment)
        for watch in self._watches:
            for sample in watch.samples(last):
                self._events.emit("sample", **sample)

    def moments(self, gpu: int = 0) -> List[Moment]:
        """The readings of card `gpu` since the measurement's start, as far as `tick` has taken them."""
        return list(self._watches[gpu].moments) if gpu < len(self._watches) else []

    def summary(self, gpu: int = 0) -> Dict[str, Any]:
        """
        The measurement of card `gpu` as one reading, and how many readings that was.

        `energy_joules` is what the card's counter has risen by within `seconds`, so their quotient is the
        mean power; both belong to the time between the first and the last reading.
        """
        moments = self.moments(gpu)
        energy, seconds = _energy(moments)
        found = summary(moments)
        del found["memory_clock_mhz"]
        return dict(found, readings=len(moments), energy_joules=energy, seconds=seconds)

    def report(self) -> None:
        """Emits one `telemetry` for each card of which anything was read."""
        for watch in self._watches:
            if watch.card and watch.moments:
                self._events.emit("telemetry", **watch.packed(self._started))

    def close(self) -> None:
        """Ends the sampler; what was read stays. Can be called twice."""
        if self._sampler:
            self._sampler.close()
            self._sampler = None


class _Watch:
    """One card's readings; `card` is None where its slot is empty."""

    def __init__(self, card: Optional[Card]) -> None:
        self.card = card
        self.moments: List[Moment] = []
        self._waiting: List[Moment] = []
        self._slow: Dict[str, Any] = dict.fromkeys(_SLOW)
        self._xids: Tuple[int, ...] = ()
        self._keep_every = 1
        self._seen = 0

    def add(self, moment: Moment) -> None:
        """Takes one reading in. Of a very long measurement every second one goes; its XIDs stay."""
        self._waiting.append(moment)
        self._seen += 1
        self._xids += moment.xids
        if self._seen % self._keep_every == 0:
            self.moments.append(moment._replace(xids=self._xids))
            self._xids = ()
        if len(self.moments) >= _MOST_MOMENTS:
            self._keep_every *= 2
            self.moments = [
                later._replace(xids=self.moments[2 * n].xids + later.xids)
                for n, later in enumerate(self.moments[1::2])
            ]

    def samples(self, last: bool) -> List[Dict[str, Any]]:
        """The fields of one event `sample` for each second that is over."""
        seconds, self._waiting = split_seconds(self._waiting, last)
        return [self._sample(second) for second in seconds]

    def packed(self, started: float) -> Dict[str, Any]:
        """The fields of the event `telemetry`."""
        assert self.card is not None
        rows: List[series.Row] = [(m.at - started, *m.reading) for m in self.moments]
        packed = series.fitting(COLUMNS, rows)
        return {
            "gpu_index": self.card.number,
            "gpu_uuid": self.card.uuid,
            "interval_seconds": PERIOD_SECONDS * self._keep_every * packed.stride,
            "readings": self._seen,
            "columns": packed.columns,
            "rollup": series.rollup(COLUMNS, rows),
            "packed": packed.text,
        }

    def _sample(self, second: List[Moment]) -> Dict[str, Any]:
        assert self.card is not None
        readings = [moment.reading for moment in second]
        for name in _SLOW:
            known = [getattr(one, name) for one in readings if getattr(one, name) is not None]
            # Read once a second by another clock than ours, it may have missed this one.
            self._slow[name] = known[-1] if known else self._slow[name]
        reasons = 0
        for one in readings:
            reasons |= one.clock_reasons or 0
        told = dict(summary(second), clock_reasons=reason_words(reasons), **self._slow)
        return dict(told, gpu_index=self.card.number)


def summary(moments: List[Moment]) -> Dict[str, Any]:
    """Several readings as one: means, but the highest temperature and memory."""
    readings = [moment.reading for moment in moments]
    return {
        "power_watts": mean(reading.power_watts for reading in readings),
        "temperature_celsius": highest(reading.temperature_celsius for reading in readings),
        "utilization_percent": mean(reading.utilization_percent for reading in readings),
        "memory_used_gb": highest(reading.memory_used_gb for reading in readings),
        "sm_clock_mhz": mean(reading.sm_clock_mhz for reading in readings),
        "memory_clock_mhz": mean(reading.memory_clock_mhz for reading in readings),
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


def _energy(moments: List[Moment]) -> Tuple[Optional[float], Optional[float]]:
    """What the counter has risen by, and the seconds between; those of all readings without a counter."""
    counted = [moment for moment in moments if moment.reading.energy_joules is not None]
    span = counted or moments
    seconds = span[-1].at - span[0].at if span else None
    if not counted:
        return None, seconds
    first, final = counted[0].reading.energy_joules, counted[-1].reading.energy_joules
    assert first is not None
    assert final is not None
    # A counter that has fallen was reset: it tells nothing. Nor does a single look.
    return (final - first if len(counted) > 1 and final >= first else None), seconds
