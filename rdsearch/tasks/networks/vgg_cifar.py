"""VGG-16 (Simonyan & Zisserman 2015, configuration D) for 32 x 32 images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Of the convolutions; the image is halved after each group."""


def vgg16(classes: int = 10) -> nn.Module:
    """Thirteen convolutions with batch norm and one linear layer: 14 724 042 parameters for 10 classes.

    The convolutions have no biases, which batch norm would cancel.

    Args:
        classes: Outputs.

    Returns:
        Network from (b, 3, 32, 32) float32 to logits (b, classes).
    """
    layers: list[nn.Module] = []
    channels_in = 3
    for group in CHANNELS:
        for channels in group:
            convolution = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            channels_in = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        OrderedDict(features=nn.Sequential(*layers), flatten=nn.Flatten(), classifier=nn.Linear(channels_in, classes))
    )
