"""What this machine is, as the peers will find it: device, precision, names and versions."""

from __future__ import annotations

import torch

from bench.agent_peers import peer
from remote_agent.machine import nvml, probe
from remote_agent.measure import devices, precision


def main() -> None:
    given = peer.parser(__doc__).parse_args()
    device = devices.choose_device(given.device)
    with nvml.opened() as library:
        driver = library.driver_version() if library else None
        has_nvml = bool(library and library.cards())
    cards = devices.gpus() if device == "cuda" else []
    peer.tell(
        device=device,
        precision=precision.choose(given.precision, device).name,
        cpu=probe.cpu_model(),
        cores=probe.cpu_count(),
        gpu=cards[0].name if cards else None,
        gpus=len(cards),
        nvml=has_nvml,
        driver=driver,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version() if device == "cuda" else None,
    )


if __name__ == "__main__":
    main()
