"""The residual networks for 32 x 32 images (He et al., Deep residual learning, 2016, section 4.2).

Depth 6n + 2: a convolution, three stages of n blocks with 16, 32, 64 channels, a linear layer. Shortcuts that
change the shape take every second pixel and pad with zero channels (option A), so they have no weights. Names
are those of the widely used checkpoints (``layer1.0.conv1.weight``, ``linear.weight``).
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

STAGE_CHANNELS = (16, 32, 64)


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.padding = (channels - channels_in) // 2

    def forward(self, inputs: Tensor) -> Tensor:
        """(b, channels_in, h, w) to (b, channels, h / stride, w / stride)."""
        residual = F.relu(self.bn1(self.conv1(inputs)))
        residual = self.bn2(self.conv2(residual))
        shortcut = inputs[:, :, :: self.stride, :: self.stride]
        if self.padding:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(residual + shortcut)


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = _Block(channels_in, channels, stride)
    return nn.Sequential(first, *(_Block(channels, channels, 1) for _ in range(blocks - 1)))


def _resnet(depth: int, classes: int) -> nn.Module:
    blocks = (depth - 2) // 6
    narrow, middle, wide = STAGE_CHANNELS
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, narrow, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(narrow),
            relu=nn.ReLU(inplace=True),
            layer1=_stage(narrow, narrow, blocks, 1),
            layer2=_stage(narrow, middle, blocks, 2),
            layer3=_stage(middle, wide, blocks, 2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(wide, classes),
        )
    )
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return network


def resnet20(classes: int = 10) -> nn.Module:
    """269 722 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    return _resnet(20, classes)


def resnet32(classes: int = 10) -> nn.Module:
    """464 154 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    return _resnet(32, classes)


def resnet44(classes: int = 10) -> nn.Module:
    """658 586 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    return _resnet(44, classes)


def resnet56(classes: int = 10) -> nn.Module:
    """853 018 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    return _resnet(56, classes)


def resnet110(classes: int = 10) -> nn.Module:
    """1 727 962 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    return _resnet(110, classes)
