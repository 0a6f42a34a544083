"""ImageNet architectures in their forms for 32 x 32 images.

The first convolution keeps the resolution and is not followed by pooling, as is usual on CIFAR; all else
is torchvision's, names included.
"""

from __future__ import annotations

from typing import cast

from torch import nn
from torchvision import models


def _stem(channels: int) -> nn.Conv2d:
    return nn.Conv2d(3, channels, 3, padding=1, bias=False)


def resnet18(classes: int = 10) -> nn.Module:
    """11 173 962 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    network = models.resnet18(num_classes=classes)
    network.conv1 = _stem(64)
    network.maxpool = nn.Identity()
    return cast("nn.Module", network)


def densenet121(classes: int = 10) -> nn.Module:
    """6 956 426 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    network = models.densenet121(num_classes=classes)
    network.features.conv0 = _stem(64)
    network.features.pool0 = nn.Identity()
    return cast("nn.Module", network)


def efficientnet_b0(classes: int = 10) -> nn.Module:
    """4 020 358 parameters for 10 classes; (b, 3, 32, 32) float32 to logits (b, classes)."""
    network = models.efficientnet_b0(num_classes=classes)
    network.features[0][0].stride = (1, 1)
    return cast("nn.Module", network)
