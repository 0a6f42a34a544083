"""The two LeNets (LeCun et al., Gradient-based learning applied to document recognition, 1998).

In the forms that the compression literature uses.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def lenet300(classes: int = 10) -> nn.Module:
    """LeNet-300-100: three linear layers, 266 610 parameters for 10 classes.

    Args:
        classes: Outputs.

    Returns:
        Network from (b, 1, 28, 28) float32 to logits (b, classes).
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(28 * 28, 300),
            relu1=nn.ReLU(inplace=True),
            fc2=nn.Linear(300, 100),
            relu2=nn.ReLU(inplace=True),
            fc3=nn.Linear(100, classes),
        )
    )


def lenet5_caffe(classes: int = 10) -> nn.Module:
    """LeNet-5 as Caffe has it, 20-50-500-10: 431 080 parameters for 10 classes.

    Args:
        classes: Outputs.

    Returns:
        Network from (b, 1, 28, 28) float32 to logits (b, classes).
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 20, 5),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(50 * 4 * 4, 500),
            relu1=nn.ReLU(inplace=True),
            fc2=nn.Linear(500, classes),
        )
    )
