"""Random changes of training images, drawn on the CPU and applied on the device where the images are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rdsearch.base.device import uploaded
from rdsearch.errors import TaskError
from rdsearch.tasks.splits.array import Augmentation

PADDING = 4
"""Pixels added on each side before the crop, for images of 32 x 32 (He et al. 2016, section 4.2)."""


def crop_and_flip(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Shift each image by up to four pixels, black coming in, and mirror half of them.

    Args:
        images: (b, channels, height, width), any dtype.
        generator: Draws shifts and flips.

    Returns:
        Images of the same shape and dtype.
    """
    count, _, height, width = images.shape
    device = images.device
    offsets = generator.integers(0, 2 * PADDING + 1, size=(2, count))
    mirrored = generator.random(count) < 0.5
    # One upload for all that is drawn.
    top, left, mirrored = uploaded(torch.from_numpy(np.vstack([offsets, mirrored])), device)
    rows = top[:, None] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = left[:, None] + torch.where(mirrored[:, None] > 0, width - 1 - columns, columns)
    padded = F.pad(images, (PADDING,) * 4)
    image = torch.arange(count, device=device)
    picked = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()


AUGMENTATIONS: Mapping[str, Augmentation] = {"crop_and_flip": crop_and_flip}


def augmentation_by_name(name: str | None) -> Augmentation | None:
    """The augmentation called ``name``; ``None`` for none.

    Raises:
        TaskError: There is none of this name.
    """
    if name is None:
        return None
    if name not in AUGMENTATIONS:
        raise TaskError(f"unknown augmentation {name!r}: known are {', '.join(AUGMENTATIONS)}, or null for none")
    return AUGMENTATIONS[name]
