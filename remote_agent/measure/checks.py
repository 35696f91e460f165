"""Whether what is measured can be believed: losses that fall, clocks that agree, a card at its full rate."""

import math
import os
from typing import Any, Dict, Iterable, List, Optional

from remote_agent.failure import Failure
from remote_agent.machine import cards as machine_cards
from remote_agent.machine import findings
from remote_agent.machine.nvml import same_slot
from remote_agent.machine.telemetry import Telemetry
from remote_agent.measure.devices import Device
from remote_agent.measure.report import Report
from remote_agent.measure.timing import Timing
from remote_agent.measure.workload import Training

_JUDGED_FROM = 10  # steps: momentum may carry the loss up before


def losses(training: Training, steps: int) -> None:
    """
    Raises `Failure` wrong_arithmetic where the loss is not finite or, over ten steps and more on one and the
    same batch, did not fall: a card that computes wrongly may be as fast as it likes.
    """
    first, last = float(training.first_loss), float(training.last_loss)  # type: ignore[arg-type]
    told = f"first loss {first}, last loss {last}, after {steps} steps"
    if not math.isfinite(first) or not math.isfinite(last):
        raise Failure(
            "wrong_arithmetic",
            "The loss is not a finite number: this machine computes wrongly.",
            told,
        )
    if steps >= _JUDGED_FROM and last >= first:
        raise Failure(
            "wrong_arithmetic",
            "The loss does not fall on a fixed batch: this machine computes wrongly.",
            told,
        )


class Watch:
    """
    What happens to the cards between the beginning and the end of a measurement. Begins when it is made.

    `machine` is what the probe told, `cards` what torch sees; without cards only the machine is looked at.
    """

    def __init__(self, cards: List[Device], machine: Dict[str, Any], report: Report) -> None:
        self._cards = cards
        self._machine = machine
        self._report = report
        self._slots = [card.bus_id for card in cards if card.bus_id]
        self._before = machine_cards.health(self._slots) if self._slots else []
        self._tell(findings.of_probe(machine))
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if cards:
            self._tell(findings.of_devices(machine["gpus"], cards, visible))

    def look_at(self, timed: Timing, telemetry: Telemetry) -> List[str]:
        """
        Tells what the steps of the requested training show, and the readings of its card.

        Returns sentences on what is usual and yet worth knowing.
        """
        self._tell(findings.of_steps(timed.steps, timed.measured_seconds, timed.wall_seconds))
        self._tell(self._shown_by_readings(0, telemetry), 0)
        gpu = self._gpu(0)
        return [] if gpu is None else findings.notes(telemetry.moments(0), gpu)

    def look_back(self, telemetry: Telemetry) -> None:
        """Tells what all readings show, and which counters of faults have risen since the beginning."""
        for place in range(len(self._slots)):
            shown = self._shown_by_readings(place, telemetry)
            # Loads differ in the clocks that a power limit leaves them: only one and the same is judged.
            self._tell((one for one in shown if one.code != "power_capped"), place)
        after = machine_cards.health(self._slots) if self._slots else []
        for place, new in enumerate(after):
            number = (self._gpu(place) or {"index": place})["index"]
            self._tell(findings.of_health(self._before[place], new, number), place)

    def _shown_by_readings(self, place: int, telemetry: Telemetry) -> List[findings.Finding]:
        gpu = self._gpu(place)
        return [] if gpu is None else findings.of_telemetry(telemetry.moments(place), gpu)

    def _gpu(self, place: int) -> Optional[Dict[str, Any]]:
        """What the probe told of the card in this slot; None where it was not there."""
        slots = self._slots[place : place + 1]
        for gpu in self._machine["gpus"]:
            if any(same_slot(gpu["pci_bus_id"], slot) for slot in slots):
                found: Dict[str, Any] = gpu
                return found
        return None

    def _tell(self, found: Iterable[findings.Finding], place: Optional[int] = None) -> None:
        for finding in found:
            self._report.finding(finding.code, finding.message, place)
