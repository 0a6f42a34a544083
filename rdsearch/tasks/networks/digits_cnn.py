"""A small convolutional network for 8 x 8 grey images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(channels_out),
            relu=nn.ReLU(inplace=True),
        )
    )


def digits_cnn(classes: int = 10) -> nn.Module:
    """Three convolutions with batch norm and two linear layers: 31 770 parameters for 10 classes.

    Args:
        classes: Outputs.

    Returns:
        Network from (b, 1, 8, 8) float32 to logits (b, classes).
    """
    return nn.Sequential(
        OrderedDict(
            conv1=_block(1, 16),
            conv2=_block(16, 32),
            pool1=nn.MaxPool2d(2),
            conv3=_block(32, 48),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(48 * 2 * 2, 64),
            relu=nn.ReLU(inplace=True),
            fc2=nn.Linear(64, classes),
        )
    )
