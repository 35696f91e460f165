"""
SuperBench's ResNet-50 training in fp16 as it ships, written anew from what its model benchmark does. CUDA only.

Weights in half with BatchNorm left in float, no channels last, no autocast. Batches of 128 come from a
DataLoader over 1,024 random images and are cast on the processor; the copy to the GPU is within the timed
step, which begins and ends with a synchronize. Rate is the mean of the steps' rates. 16 steps to warm up and 128
are those of its default configuration.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch.utils.data import DataLoader

from bench.agent_peers import peer
from remote_agent.measure import resnet50
from remote_agent.measure.workload import SEED

WARM_UP: Final = 16
STEPS: Final = 128
BATCH: Final = 128
_SAMPLES: Final = 1024
_WORKERS: Final = 8
_SHARED_BYTES: Final = 2**31  # of shared memory, for the batches that the workers hold ready


def main() -> None:
    given = peer.parser(__doc__).parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    model, source = _model()
    took = _step_seconds(model, _batches(given.image_size))
    peer.tell(
        images_per_second=statistics.mean(BATCH / seconds for seconds in took),
        images_over_time=BATCH * len(took) / sum(took),
        steps=len(took),
        seconds=sum(took),
        batch_size=BATCH,
        model_source=source,
        workers=_workers(),
    )


def _model() -> tuple[Any, str]:
    model, source = resnet50.build(SEED)
    model = model.half()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.float()
    return model.cuda().train(), source


def _batches(image_size: int) -> Iterator[Any]:
    images = torch.randn(_SAMPLES, 3, image_size, image_size)
    loader: Any = DataLoader(images, batch_size=BATCH, num_workers=_workers(), drop_last=True)
    while True:
        yield from loader


def _workers() -> int:
    """Its eight; none in a container whose shared memory they would overrun: loading is not timed."""
    with contextlib.suppress(OSError):
        shared = os.statvfs("/dev/shm")
        return _WORKERS if shared.f_bavail * shared.f_frsize >= _SHARED_BYTES else 0
    return 0


def _step_seconds(model: Any, batches: Iterator[Any]) -> list[float]:
    labels = torch.randint(0, 1000, (BATCH,)).cuda()
    loss_of = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-5, momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    took = []
    for _ in range(WARM_UP + STEPS):
        images = next(batches).half()
        began = _now()
        images = images.cuda()
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()
        took.append(_now() - began)
    return took[WARM_UP:]


def _now() -> float:
    torch.cuda.synchronize()
    return time.time()


if __name__ == "__main__":
    main()
