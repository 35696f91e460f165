"""One rank of several: all-reduce and data-parallel training, seen from within its process."""

import contextlib
import datetime
import gc
import statistics
from typing import Any, Callable, Dict, Iterator, List

import torch
import torch.distributed as dist
from torch import nn

from remote_agent.measure import interval, precision, rates, resnet50, timing
from remote_agent.measure.children import Answer, Obey, Order
from remote_agent.spec import Options

SEED = 20_151_210
_WARMUP_CALLS = 3
_MEASURED_SHARE = 0.7  # of the seconds; the rest is for the calls that tell how many these are
_LEAST_CALLS, _MOST_CALLS = 3, 5000
_LEARNING_RATE = 0.01
_MOMENTUM = 0.9


@contextlib.contextmanager
def joined(number: int, orders: Dict[str, Any]) -> Iterator[Obey]:
    """What obeys orders while we are one of the ranks. Raises whatever torch does."""
    rank = _Rank(number, orders)
    try:
        yield rank.obey
    finally:
        dist.destroy_process_group()


class _Rank:
    """This process among the others: its device, and what it can be told to do."""

    def __init__(self, number: int, orders: Dict[str, Any]) -> None:
        self._number = number
        self._count = int(orders["ranks"])
        self._payload = int(orders["payload"])
        self._backend = str(orders["backend"])
        self._options = Options(**orders["options"])
        self._device = "cpu"
        self._clock: Any = timing.ProcessorClock()
        if orders["kind"] == "cuda":
            torch.cuda.set_device(number)
            self._device = "cuda"
            self._clock = timing.GpuClock(torch.cuda)
        dist.init_process_group(
            self._backend,
            init_method=orders["meet"],
            rank=number,
            world_size=self._count,
            timeout=datetime.timedelta(seconds=orders["timeout"]),
        )

    def obey(self, order: Order) -> Answer:
        """Does all-reduce, one (training without the others) or parallel."""
        acts = {"all-reduce": self._all_reduce, "one": self._one, "parallel": self._parallel}
        try:
            return acts[order["do"]](order["seconds"])
        finally:
            gc.collect()
            if self._device == "cuda":
                torch.cuda.empty_cache()

    def _all_reduce(self, seconds: float) -> Answer:
        numbers = torch.full((self._payload // 4,), float(self._number + 1), device=self._device)
        dist.all_reduce(numbers)
        wanted = self._count * (self._count + 1) / 2
        if float(numbers.min()) != wanted or float(numbers.max()) != wanted:
            raise RuntimeError("the all-reduce has a wrong sum")
        numbers.zero_()  # sums of sums would soon be infinite

        def call() -> None:
            dist.all_reduce(numbers)

        took = self._timed(call, seconds, agreed=True)
        low, high = rates.median_bounds(sorted(took))
        return {
            "seconds": statistics.median(took),
            "low": low,
            "high": high,
            "calls": len(took),
            "configuration": self._conditions(kernel="all-reduce", dtype="float32"),
        }

    def _one(self, seconds: float) -> Answer:
        return self._trained(_Trainer(self._options, self._device), seconds, agreed=False)

    def _parallel(self, seconds: float) -> Answer:
        trainer = _Trainer(self._options, self._device)
        trainer.distribute()
        return self._trained(trainer, seconds, agreed=True)

    def _trained(self, trainer: "_Trainer", seconds: float, agreed: bool) -> Answer:
        took = self._timed(trainer.step, seconds, agreed)
        found = interval.spread(took)
        batch = self._options.batch_size
        return {
            "rate": batch / found.mean,
            "low": batch / found.high,
            "high": batch / found.low if found.low > 0 else None,
            "steps": len(took),
            "configuration": self._conditions(
                workload="training",
                batch_size=batch,
                image_size=self._options.image_size,
                precision=trainer.precision.name,
                channels_last=self._options.channels_last,
                mode="eager",
            ),
        }

    def _timed(self, call: Callable[[], None], seconds: float, agreed: bool) -> List[float]:
        """The seconds of each call. Who works together must call equally often, so rank 0 decides."""
        rates.fixed(call, self._clock, _WARMUP_CALLS)
        usual = statistics.median(rates.fixed(call, self._clock, _WARMUP_CALLS))
        wanted = seconds * _MEASURED_SHARE / max(usual, 1e-9)
        count = max(_LEAST_CALLS, min(_MOST_CALLS, round(wanted)))
        if agreed:
            told = torch.tensor([count], device=self._device)
            dist.broadcast(told, 0)
            count = int(told)
        return rates.fixed(call, self._clock, count)

    def _conditions(self, **more: Any) -> Dict[str, Any]:
        nccl = torch.cuda.nccl.version() if self._backend == "nccl" else None
        version = ".".join(map(str, nccl)) if isinstance(nccl, tuple) else nccl
        return rates.conditions(
            self._device, ranks=self._count, backend=self._backend, nccl=version, **more
        )


class _Trainer:
    """ResNet-50 on one resident batch, eager; after `distribute` in step with the other ranks."""

    def __init__(self, options: Options, device: str) -> None:
        self.precision = precision.choose(options.precision, device)
        self.precision.apply()
        self._device = device
        torch.backends.cudnn.benchmark = True
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self._model, _ = resnet50.build(SEED)
        self._model.to(device, memory_format=layout).train()
        generator = torch.Generator().manual_seed(SEED)
        side, batch = options.image_size, options.batch_size
        kind = self.precision.autocast_type or torch.float32
        images = torch.randn(batch, 3, side, side, generator=generator)
        self._images = images.to(device, dtype=kind, memory_format=layout)
        self._labels = torch.randint(0, 1000, (batch,), generator=generator).to(device)
        self._loss_of = nn.CrossEntropyLoss()
        rate = _LEARNING_RATE / self.precision.loss_scale
        self._optimizer = torch.optim.SGD(
            list(self._model.parameters()), lr=rate, momentum=_MOMENTUM
        )

    def distribute(self) -> None:
        """Averages gradients over all ranks from now on."""
        own = [torch.cuda.current_device()] if self._device == "cuda" else None
        self._model = nn.parallel.DistributedDataParallel(
            self._model, device_ids=own, gradient_as_bucket_view=True
        )

    def step(self) -> None:
        """One batch: forward, backward and update."""
        self._optimizer.zero_grad(set_to_none=True)
        with self.precision.autocast(self._device):
            loss = self._loss_of(self._model(self._images), self._labels)
        (loss * self.precision.loss_scale).backward()
        self._optimizer.step()
