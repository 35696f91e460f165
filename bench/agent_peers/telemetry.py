"""
The agent's training with and without its telemetry: the sampler's process, ten readings a second, and taking them.

Both are measured in turns within one process, because what is looked for is smaller than what differs between
processes; the round decides which comes first.
"""

from __future__ import annotations

import os
from typing import Any

from bench.agent_peers import peer
from remote_agent.events import EventWriter
from remote_agent.machine.telemetry import Telemetry
from remote_agent.measure import devices, timing
from remote_agent.measure.workload import Training

_AGAIN_SECONDS = 2.0  # the card has idled while the sampler started or ended


def main() -> None:
    parser = peer.parser(__doc__)
    parser.add_argument("--figures", type=int, default=3)
    given = parser.parse_args()
    device = devices.choose_device(given.device)
    training = Training(peer.options(given), device)
    training.warm_up(peer.quiet)
    slots = [card.bus_id for card in devices.gpus() if card.bus_id][:1]
    events = EventWriter(os.open(os.devnull, os.O_WRONLY), "0" * 32)
    rates: dict[str, list[float]] = {"on": [], "off": []}
    readings, seconds = 0, 0.0
    for turn in range(given.figures):
        for name in ["on", "off"] if (turn + given.round) % 2 == 0 else ["off", "on"]:
            telemetry = Telemetry(slots if name == "on" else [], events)
            timed = _measured(training, telemetry, given.seconds)
            rates[name].append(given.batch_size / timed.spread.mean)
            if name == "on":
                readings += telemetry.summary()["readings"]
                seconds += timed.wall_seconds
            telemetry.close()
    peer.tell(**rates, readings_per_second=readings / seconds, configuration=training.configuration)


def _measured(training: Training, telemetry: Telemetry, seconds: float) -> Any:
    warm = training.warm_up(peer.quiet, _AGAIN_SECONDS)
    telemetry.begin()

    def keep_up(_done: int, _seconds: float) -> None:
        telemetry.tick()

    timed = training.measure(warm, timing.Limits(1, seconds, target=0.0), keep_up)
    telemetry.tick(last=True)
    return timed


if __name__ == "__main__":
    main()
