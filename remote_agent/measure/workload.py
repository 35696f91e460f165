"""ResNet-50 on one resident synthetic batch: training and inference, eager, compiled or as a CUDA graph."""

import abc
from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import nn

from remote_agent.failure import Failure, is_out_of_memory
from remote_agent.machine import probe
from remote_agent.measure import precision, resnet50, timing
from remote_agent.spec import Options

METHOD = 1
"""Raised whenever the way of measuring changes so that figures do not compare any more."""

SEED = 20_151_210
_EAGER_STEPS = (
    3  # before a graph is captured: kernels are chosen, buffers of the optimizer are made
)
_LEAST_WARMUP = {"cuda": 10, "cpu": 2}
_WARMUP_SECONDS = 10.0
_WINDOW_SECONDS = 0.25
_LEARNING_RATE = 0.01
_MOMENTUM = 0.9


class Workload(abc.ABC):
    """
    A model and one batch on a device. `step` only queues work on a GPU.

    Nothing in it copies to the device or asks it for a value: either would be measured too.
    """

    name = ""

    def __init__(self, options: Options, device: str) -> None:
        self.device = device
        self.precision = precision.choose(options.precision, device)
        self.options = options._replace(device=device, precision=self.precision.name)
        self.mode = _mode(options.mode, device)
        self.fallback: Optional[str] = None
        self.precision.apply()
        torch.backends.cudnn.benchmark = True
        if device == "cpu":
            # OpenMP sees the machine's processors, not what the container may use of them.
            torch.set_num_threads(min(torch.get_num_threads(), probe.cpu_count()))
        self.clock: Any = (
            timing.ProcessorClock() if device == "cpu" else timing.GpuClock(torch.cuda)
        )
        model, self.model_source = resnet50.build(SEED)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self._format = torch.channels_last if options.channels_last else torch.contiguous_format
        self._model = model.to(device, memory_format=self._format)
        self._images, self._labels = self._batch()
        self._run: Callable[[], None] = self._once

    def step(self) -> None:
        """One batch."""
        self._run()

    def warm_up(
        self, progress: timing.Progress, budget_seconds: float = _WARMUP_SECONDS
    ) -> timing.Warm:
        """
        The steps before those that count, and the mode entered.

        A mode that was left to us and fails falls back to eager, and `fallback` says why. Raises `Failure`
        option_unsupported for a mode that was asked for, and whatever torch does.
        """
        self._enter_mode()
        return timing.warm_up(
            self.step,
            self.clock,
            _LEAST_WARMUP[self.device],
            budget_seconds,
            _WINDOW_SECONDS,
            progress,
        )

    def measure(
        self, warm: timing.Warm, limits: timing.Limits, progress: timing.Progress
    ) -> timing.Timing:
        """The steps that count; `warm` tells how many make a window of a quarter of a second."""
        window = max(1, round(_WINDOW_SECONDS / warm.step_seconds)) if warm.step_seconds > 0 else 1
        return timing.measure(self.step, self.clock, window, limits, progress)

    def release(self) -> None:
        """Gives back what is held on the device; what was measured of it stays."""
        self._model = self._images = self._labels = None
        self._run = self._once

    @property
    def configuration(self) -> Dict[str, Any]:
        """Every condition that a comparison of this workload's figures must hold fixed."""
        return {
            "method": METHOD,
            "workload": self.name,
            "model": "resnet50-v1.5",
            "batch_size": self.options.batch_size,
            "image_size": self.options.image_size,
            "precision": self.precision.name,
            "channels_last": self.options.channels_last,
            "mode": self.mode,
            "device": self.device,
            "torch": str(torch.__version__),
            "cuda": torch.version.cuda or torch.version.hip,
            "cudnn": torch.backends.cudnn.version() if self.device == "cuda" else None,
            "threads": torch.get_num_threads() if self.device == "cpu" else None,
        }

    @abc.abstractmethod
    def _once(self) -> None:
        """Queues one batch, in eager mode."""

    @abc.abstractmethod
    def _before_capture(self) -> None:
        """Undoes what must be undone of the eager steps before a graph is captured."""

    def _enter_mode(self) -> None:
        if self.mode == "eager" or self._run != self._once:
            return
        try:
            if self.mode == "compiled":
                # Not for any batch: it would depend on what was compiled before.
                self._model = torch.compile(self._model, dynamic=False)
            if self.device == "cuda":
                self._run = self._captured()
            else:
                self._once()
        except Exception as error:
            if is_out_of_memory(error):
                raise
            if self.options.mode != "auto":
                raise Failure(
                    "option_unsupported",
                    f"This machine can't run the mode {self.mode}.",
                    f"{type(error).__name__}: {error}",
                ) from error
            self.fallback = f"{type(error).__name__}: {error}"[:500]
            self.mode, self._run = "eager", self._once

    def _captured(self) -> Callable[[], None]:
        """The step as one CUDA graph: a single launch, so that a small batch does not measure Python."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_EAGER_STEPS):
                self._once()
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        self._before_capture()
        graph = torch.cuda.CUDAGraph()
        # A capture that fails leaves its own stream the current one; this gives back ours.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
            self._once()
        replay: Callable[[], None] = graph.replay
        return replay

    def _batch(self) -> Tuple[Any, Any]:
        generator = torch.Generator().manual_seed(SEED)
        size = self.options.image_size
        images = torch.randn(self.options.batch_size, 3, size, size, generator=generator)
        labels = torch.randint(0, 1000, (self.options.batch_size,), generator=generator)
        # In the type that the first convolution takes: a cast in every step would be measured too.
        kind = self.precision.autocast_type or torch.float32
        return (
            images.to(self.device, dtype=kind, memory_format=self._format),
            labels.to(self.device),
        )


class Training(Workload):
    """Forward, backward and update with SGD; the losses of the first and the latest step are kept."""

    name = "training"

    def __init__(self, options: Options, device: str) -> None:
        super().__init__(options, device)
        self._model.train()
        self._optimizer, self.optimizer = _sgd(
            list(self._model.parameters()), _LEARNING_RATE / self.precision.loss_scale
        )
        self._loss_of = nn.CrossEntropyLoss()
        self.first_loss: Optional[Any] = None
        self.last_loss: Optional[Any] = None

    @property
    def configuration(self) -> Dict[str, Any]:
        return dict(super().configuration, optimizer=f"sgd-momentum-{self.optimizer}")

    def release(self) -> None:
        super().release()
        self._optimizer = None
        if self.first_loss is not None and self.last_loss is not None:
            self.first_loss, self.last_loss = float(self.first_loss), float(self.last_loss)

    def _once(self) -> None:
        capturing = self.device == "cuda" and torch.cuda.is_current_stream_capturing()
        if not capturing:
            self._optimizer.zero_grad(set_to_none=True)
        with self.precision.autocast(self.device):
            loss = self._loss_of(self._model(self._images), self._labels)
        scale = self.precision.loss_scale
        (loss if scale == 1.0 else loss * scale).backward()
        self._optimizer.step()
        self.last_loss = loss.detach()
        if self.first_loss is None:
            self.first_loss = self.last_loss

    def _before_capture(self) -> None:
        # Without gradients the captured backward writes them anew in each replay instead of adding up.
        self._optimizer.zero_grad(set_to_none=True)


class Inference(Workload):
    """Forward alone, in evaluation mode."""

    name = "inference"

    def __init__(self, options: Options, device: str) -> None:
        super().__init__(options, device)
        self._model.eval()
        self.output: Optional[Any] = None

    def _once(self) -> None:
        # Not inference_mode: its tensors can't be written by a graph that is captured later.
        with torch.no_grad(), self.precision.autocast(self.device):
            self.output = self._model(self._images)

    def _before_capture(self) -> None:
        """Eager steps leave nothing behind."""


def _mode(wanted: str, device: str) -> str:
    if wanted == "auto":
        return "cuda-graph" if device == "cuda" else "eager"
    if wanted == "cuda-graph" and device == "cpu":
        raise Failure("option_unsupported", "A CPU has no CUDA graphs.")
    if wanted == "compiled" and not hasattr(torch, "compile"):
        raise Failure("option_unsupported", f"torch {torch.__version__} can't compile models.")
    return wanted


def _sgd(parameters: Any, rate: float) -> Tuple[Any, str]:
    """The fastest form of SGD that this torch has for these parameters, and its name."""
    for form in ("fused", "foreach"):
        try:
            chosen = {form: True}
            return torch.optim.SGD(parameters, lr=rate, momentum=_MOMENTUM, **chosen), form
        except (TypeError, RuntimeError):
            continue
    return torch.optim.SGD(parameters, lr=rate, momentum=_MOMENTUM), "plain"
