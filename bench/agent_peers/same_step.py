"""
Our timing of a step in which exactly that happens which happens in timm's: what differs is how it is timed.

A float32 input that autocast casts in every step; targets made within autocast, and backward there too; SGD with
Nesterov's momentum in torch's default form. Eager; no synchronize between steps.
"""

from __future__ import annotations

from typing import Any

import torch

from bench.agent_peers import ours, peer
from remote_agent.measure import devices, timing
from remote_agent.measure.workload import Inference, Training
from remote_agent.spec import Options

_CLASSES = 1000


class SameTraining(Training):
    """The agent's training with timm's step."""

    def __init__(self, options: Options, device: str) -> None:
        super().__init__(options, device)
        self._images = self._images.float()
        self._optimizer: Any = torch.optim.SGD(
            self._model.parameters(), lr=1e-4, momentum=0.9, nesterov=True
        )

    def _once(self) -> None:
        self._optimizer.zero_grad()
        with self.precision.autocast(self.device):
            output = self._model(self._images)
            targets = torch.empty(output.shape[:1], device=self.device, dtype=torch.long)
            self._loss_of(output, targets.random_(_CLASSES)).backward()
        self._optimizer.step()


class SameInference(Inference):
    """The agent's inference with timm's input."""

    def __init__(self, options: Options, device: str) -> None:
        super().__init__(options, device)
        self._images = self._images.float()


def main() -> None:
    given = peer.parser(__doc__).parse_args()
    kind = {"training": SameTraining, "inference": SameInference}[given.kind]
    options = peer.options(given)._replace(mode="eager")
    workload = kind(options, devices.choose_device(given.device))
    peer.tell(**ours.figure(workload, timing.Limits(40, given.seconds)))


if __name__ == "__main__":
    main()
