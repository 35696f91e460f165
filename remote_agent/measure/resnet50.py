"""ResNet-50 version 1.5, as torchvision has it or, where it is missing, the same built here."""

from typing import Any, List, Optional, Tuple

import torch
from torch import nn

PARAMETERS = 25_557_032
_EXPANSION = 4


def build(seed: int) -> Tuple[Any, str]:
    """An untrained model and where it comes from: torchvision or builtin. Nothing is downloaded."""
    torch.manual_seed(seed)
    try:
        from torchvision.models import resnet50

        return resnet50(), "torchvision"
    except Exception:  # a torchvision that doesn't fit its torch fails in many ways
        torch.manual_seed(seed)
        return ResNet50(), "builtin"


class ResNet50(nn.Module):  # type: ignore[misc]  # torch is untyped to us
    """
    He et al. 2015 with the stride on the 3x3 convolution ("v1.5").

    Names and the order in which weights are drawn are torchvision's, so that either model can
    load the other's weights and one seed gives both the same.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, blocks=3, stride=1)
        self.layer2 = _stage(256, 128, blocks=4, stride=2)
        self.layer3 = _stage(512, 256, blocks=6, stride=2)
        self.layer4 = _stage(1024, 512, blocks=3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * _EXPANSION, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Any) -> Any:
        """Logits of `images`, a batch in the shape (n, 3, height, width)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class _Bottleneck(nn.Module):  # type: ignore[misc]  # torch is untyped to us
    """1x1, 3x3, 1x1, and a way around them that is projected where shapes differ."""

    def __init__(self, inputs: int, width: int, stride: int, downsample: Optional[Any]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * _EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * _EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        around = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + around)


def _stage(inputs: int, width: int, blocks: int, stride: int) -> Any:
    outputs = width * _EXPANSION
    downsample = nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
    )
    stage: List[Any] = [_Bottleneck(inputs, width, stride, downsample)]
    stage += [_Bottleneck(outputs, width, 1, None) for _ in range(blocks - 1)]
    return nn.Sequential(*stage)
