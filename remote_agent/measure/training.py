"""ResNet-50 training on one resident synthetic batch: what is measured, and where."""

import contextlib
import ctypes
from typing import Any, Callable, Optional, Tuple

import torch
from torch import nn

from remote_agent.failure import Failure
from remote_agent.machine import probe
from remote_agent.measure import resnet50, timing
from remote_agent.spec import Options

SEED = 20_151_210
_WARMUP = {"cuda": 10, "cpu": 2}
_WINDOW_SECONDS = 0.5
_LEARNING_RATE = 0.01
_MOMENTUM = 0.9


def choose_device(wanted: str) -> str:
    """cuda or cpu. Raises `Failure` gpu_missing where CUDA is demanded and there is none."""
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        built = torch.version.cuda or "no CUDA at all"
        raise Failure(
            "gpu_missing",
            "A GPU was asked for, but torch sees none on this machine.",
            f"torch {torch.__version__}, built for {built}",
        )
    return "cpu"


def bus_id() -> Optional[str]:
    """
    The PCI address of torch's current GPU, as NVML wants it.

    CUDA and NVML number cards differently, and CUDA_VISIBLE_DEVICES hides some from one of them.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        device, name = ctypes.c_int(), ctypes.create_string_buffer(32)
        if cuda.cuDeviceGet(ctypes.byref(device), torch.cuda.current_device()):
            return None
        if cuda.cuDeviceGetPCIBusId(name, len(name), device):
            return None
        return name.value.decode("ascii") or None
    except (OSError, AttributeError, UnicodeDecodeError):
        return None


class Training:
    """
    A model, one batch and an optimizer on a device. `step` only queues work on a GPU.

    Nothing in it copies to the device or asks it for a value: either would be measured too.
    """

    def __init__(self, options: Options, device: str) -> None:
        self.options = options
        self.device = device
        self.warmup_steps = _WARMUP[device]
        self.precision, self._autocast_type = _precision(device)
        torch.backends.cudnn.benchmark = True
        if device == "cpu":
            # OpenMP sees the machine's processors, not what the container may use of them.
            torch.set_num_threads(min(torch.get_num_threads(), probe.cpu_count()))
        model, self.model_source = resnet50.build(SEED)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self._model = model.to(device, memory_format=torch.channels_last).train()
        self._images, self._labels = _batch(options, device)
        self._optimizer, self.optimizer = _sgd(list(self._model.parameters()))
        self._scaler = _scaler() if self._autocast_type is torch.float16 else None
        self._loss_of = nn.CrossEntropyLoss()
        self.first_loss: Optional[Any] = None
        self.last_loss: Optional[Any] = None

    def step(self) -> None:
        """Forward, backward and update, once."""
        self._optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = self._loss_of(self._model(self._images), self._labels)
        if self._scaler is None:
            loss.backward()
            self._optimizer.step()
        else:
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
        self.last_loss = loss.detach()
        if self.first_loss is None:
            self.first_loss = self.last_loss

    def warm_up(self, progress: timing.Progress) -> timing.Timing:
        """The steps before those that count: kernels are chosen and clocks go up."""
        return self._time(self.warmup_steps, 1, progress)

    def measure(self, warm: timing.Timing, progress: timing.Progress) -> timing.Timing:
        """The steps that count. On a GPU `warm` tells how many make a window of half a second."""
        usual = sorted(warm.steps)[len(warm.steps) // 2]
        window = max(1, round(_WINDOW_SECONDS / usual)) if usual > 0 else 1
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        return self._time(self.options.steps, window, progress)

    def _time(self, count: int, window: int, progress: timing.Progress) -> timing.Timing:
        if self.device == "cpu":
            return timing.on_processor(self.step, count, progress)

        def new_mark() -> Any:
            return torch.cuda.Event(enable_timing=True)

        return timing.on_gpu(self.step, count, window, new_mark, torch.cuda.synchronize, progress)

    def _autocast(self) -> Any:
        if self._autocast_type is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=self._autocast_type)


def _precision(device: str) -> Tuple[str, Optional[Any]]:
    if device == "cpu":
        return "fp32", None
    # Newer torch calls bfloat16 supported where it is only emulated: ask for the hardware.
    if torch.version.hip or torch.cuda.get_device_capability()[0] >= 8:
        return "amp-bf16", torch.bfloat16
    return "amp-fp16", torch.float16


def _batch(options: Options, device: str) -> Tuple[Any, Any]:
    generator = torch.Generator().manual_seed(SEED)
    size = (options.batch_size, 3, options.image_size, options.image_size)
    images = torch.randn(size, generator=generator)
    labels = torch.randint(0, 1000, (options.batch_size,), generator=generator)
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


def _sgd(parameters: Any) -> Tuple[Any, str]:
    """The fastest form of SGD that this torch has for these parameters, and its name."""
    for form in ("fused", "foreach"):
        with contextlib.suppress(TypeError, RuntimeError):
            chosen = {form: True}
            return _new_sgd(parameters, **chosen), form
    return _new_sgd(parameters), "plain"


def _new_sgd(parameters: Any, **form: bool) -> Any:
    return torch.optim.SGD(parameters, lr=_LEARNING_RATE, momentum=_MOMENTUM, **form)


def _scaler() -> Any:
    newer: Optional[Callable[..., Any]] = getattr(getattr(torch, "amp", None), "GradScaler", None)
    return newer("cuda") if newer else torch.cuda.amp.GradScaler()
