"""The arithmetic of a workload: number formats, autocast and the flags of torch that decide them."""

import contextlib
from typing import Any, NamedTuple, Optional, Tuple

import torch

from remote_agent.failure import Failure

_LOSS_SCALE = (
    128.0  # keeps small gradients above fp16's least number; ResNet-50's usual static scale
)
_VOLTA, _AMPERE = (7, 0), (8, 0)
_P100 = (6, 0)


class Precision(NamedTuple):
    """
    `name` as options have it; `autocast_type` is torch's half type or None; `tf32` allows TensorFloat-32
    for what stays in 32 bits; the loss is multiplied by `loss_scale`, which the learning rate undoes.
    """

    name: str
    autocast_type: Optional[Any] = None
    tf32: bool = False
    loss_scale: float = 1.0

    def apply(self) -> None:
        """Sets torch's flags: they are the process's, so whoever measures next sets its own."""
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32

    def autocast(self, device: str) -> Any:
        """A context for forward and loss; backward runs in the types that forward chose."""
        if self.autocast_type is None:
            return contextlib.nullcontext()
        return torch.autocast(device, dtype=self.autocast_type)


def choose(wanted: str, device: str) -> Precision:
    """
    The precision `wanted`, or for `auto` the fastest that the device has hardware for.

    Raises `Failure` option_unsupported where the device would only emulate it, or has not got it.
    """
    able = supported(device)
    name = able[0] if wanted == "auto" else wanted
    if name not in able:
        raise Failure(
            "option_unsupported",
            f"This device has no hardware for {name}.",
            f"It has it for {', '.join(able)}.",
        )
    return _BY_NAME[name]


def supported(device: str) -> Tuple[str, ...]:
    """
    The precisions that `device` (cuda or cpu) has hardware for, the fastest first.

    By NVIDIA's compute capability: TF32 and bfloat16 came with Ampere (8.0), fp16 tensor cores with Volta
    (7.0), fp16 at twice the rate of fp32 with the P100 (6.0). Newer torch calls bfloat16 supported
    where it is only emulated, so the capability is asked and not torch.
    """
    if device == "cpu":
        return ("fp32", "amp-bf16")
    if torch.version.hip:
        return ("amp-bf16", "amp-fp16", "fp32")
    capability = torch.cuda.get_device_capability()
    if capability >= _AMPERE:
        return ("amp-bf16", "amp-fp16", "tf32", "fp32")
    if capability >= _VOLTA or capability == _P100:
        return ("amp-fp16", "fp32")
    return ("fp32",)


_BY_NAME = {
    "fp32": Precision("fp32"),
    "tf32": Precision("tf32", tf32=True),
    "amp-bf16": Precision("amp-bf16", torch.bfloat16, tf32=True),
    "amp-fp16": Precision("amp-fp16", torch.float16, tf32=True, loss_scale=_LOSS_SCALE),
}
