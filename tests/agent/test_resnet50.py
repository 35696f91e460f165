"""The built-in ResNet-50 is the ResNet-50 that everyone else measures."""

from __future__ import annotations

import math

import torch

from remote_agent.measure import resnet50
from remote_agent.measure.workload import Training
from remote_agent.spec import Options

BLOCKS = (3, 4, 6, 3)
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def keys_by_rule() -> list[str]:
    """torchvision's state-dict keys, written down as the rule that they follow."""

    def pair(conv: str, norm: str) -> list[str]:
        return [f"{conv}.weight", *(f"{norm}.{name}" for name in NORM)]

    keys = pair("conv1", "bn1")
    for stage, blocks in enumerate(BLOCKS, 1):
        for block in range(blocks):
            here = f"layer{stage}.{block}"
            for number in (1, 2, 3):
                keys += pair(f"{here}.conv{number}", f"{here}.bn{number}")
            if block == 0:
                keys += pair(f"{here}.downsample.0", f"{here}.downsample.1")
    return [*keys, "fc.weight", "fc.bias"]


def test_keys_and_parameters_are_torchvisions() -> None:
    """320 state-dict keys in torchvision's order, and exactly 25,557,032 parameters."""
    model = resnet50.ResNet50()
    assert list(model.state_dict()) == keys_by_rule()
    assert len(keys_by_rule()) == 320
    assert sum(parameter.numel() for parameter in model.parameters()) == 25_557_032
    assert resnet50.PARAMETERS == 25_557_032


def test_parity_with_torchvision() -> None:
    """Where torchvision imports, the same weights give the same logits; elsewhere the rule holds."""
    ours = resnet50.ResNet50()
    try:
        from torchvision.models import resnet50 as theirs_of
    except Exception:  # noqa: BLE001 - it fails in many ways beside a CPU torch
        assert list(ours.state_dict()) == keys_by_rule()
        return
    theirs = theirs_of()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours.eval()(images), theirs.eval()(images), atol=1e-5)


def test_weights_are_drawn_as_torchvision_draws_them() -> None:
    """Convolutions are He-normal over their outputs, batch norms begin as the identity."""
    torch.manual_seed(0)
    state = resnet50.ResNet50().state_dict()
    weight = state["layer3.0.conv2.weight"]
    assert math.isclose(float(weight.std()), math.sqrt(2 / (256 * 9)), rel_tol=0.01)
    assert bool((state["layer4.2.bn3.weight"] == 1).all())
    assert bool((state["layer4.2.bn3.bias"] == 0).all())


def test_the_stride_is_on_the_3x3_convolution() -> None:
    """Version 1.5: a stage halves the image in its 3x3 convolution, not in the 1x1 before it."""
    model = resnet50.ResNet50()
    for stage in (model.layer2, model.layer3, model.layer4):
        assert (stage[0].conv1.stride, stage[0].conv2.stride) == ((1, 1), (2, 2))
        assert stage[0].downsample[0].stride == (2, 2)


def test_seeded_steps_repeat_and_learn() -> None:
    """Two trainings from one seed agree on their losses, which begin near ln 1000 and fall."""
    losses = []
    for _ in range(2):
        training = Training(Options(batch_size=4, image_size=32, device="cpu"), "cpu")
        seen = []
        for _ in range(3):
            training.step()
            seen.append(float(training.last_loss))
        losses.append(seen)
    assert losses[0] == losses[1]
    assert abs(losses[0][0] - math.log(1000)) < 1.5
    assert losses[0][-1] < losses[0][0]
