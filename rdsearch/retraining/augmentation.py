"""Small random changes of training images, drawn and made on the device: for any task with images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rdsearch.errors import TaskError
from rdsearch.tasks.splits import Split
from rdsearch.tasks.splits.base import Batch, Device

SHIFT = 0.054
"""Of the width and height: a pixel and a half of 28."""
ROTATION = math.radians(9)
SCALING, SHEAR = 0.09, 0.12
_IMAGE_AXES = 4


class Augmented:
    """A split whose training batches are changed at random; see `Split`.

    Args:
        split: The examples, images (b, channels, height, width).
        share: Of the batches, from 0 to 1, in which every image is moved, turned, scaled and sheared a little.
    """

    def __init__(self, split: Split, share: float) -> None:
        self._split = split
        self._share = share

    def __len__(self) -> int:
        return len(self._split)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._split, name)

    def batches(
        self,
        batch_size: int,
        *,
        device: Device = "cpu",
        generator: np.random.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """The split's batches, changed where ``augment`` is asked for.

        Raises:
            TaskError: The inputs are no images.
        """
        for inputs, targets in self._split.batches(batch_size, device=device, generator=generator, augment=augment):
            if augment and generator is not None:
                require_images(inputs)
                if generator.random() < self._share:
                    yield affine(inputs), targets
                    continue
            yield inputs, targets


def require_images(inputs: Any) -> None:
    """Check that there is something to move.

    Raises:
        TaskError: The inputs are no images.
    """
    if isinstance(inputs, Tensor) and inputs.dim() == _IMAGE_AXES and inputs.is_floating_point():
        return
    seen = f"{inputs.dtype} {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else f"a {type(inputs).__name__}"
    raise TaskError(
        f"augmentation moves images, float (batch, channels, height, width), and this task's inputs are {seen}; set "
        "augmentation to 0"
    )


def affine(images: Tensor) -> Tensor:
    """An affine map of its own for each image, drawn by torch's generator of the device; edges go on outside.

    Args:
        images: (b, channels, height, width), floating point.

    Returns:
        Images of the same shape.
    """
    drawn = torch.rand(6, len(images), device=images.device, dtype=images.dtype).mul_(2).sub_(1)
    angle, shear = drawn[0] * ROTATION, drawn[1] * SHEAR
    wide, high = 1 + drawn[2] * SCALING, 1 + drawn[3] * SCALING
    across, down = drawn[4:] * (2 * SHIFT)
    rows = torch.stack([wide * angle.cos(), shear - high * angle.sin(), across], dim=1)
    columns = torch.stack([wide * angle.sin(), high * angle.cos(), down], dim=1)
    grid = F.affine_grid(torch.stack([rows, columns], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
