"""The images that a trained network was trained on: size, mean and deviation, for whatever reads its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rdsearch.errors import TaskError
from rdsearch.tasks.data.sizing import Sizing

PREPROCESSOR = "preprocessor_config.json"
"""Where transformers keeps what is done to images, beside a network."""

COLOURS = 3

LEVELS = 255.0

CONVNEXT_WHOLE = 384
"""Pixels from which ConvNeXt's images are stretched as a whole."""

PROBE_SIZES = ((150, 100), (90, 400))
"""Width and height of the images on which both ways are compared: one large, one wide enough that cropping shows."""

TOLERANCE_LEVELS, MEAN_TOLERANCE_LEVELS = 4.0, 0.5
"""Of 256, at a pixel and in the mean: torchvision and Pillow round in other places, most where bicubic overshoots."""


@dataclass(frozen=True)
class ImageInputs:
    """From an image to the input that a network was trained for; called, it turns a PIL image into a tensor.

    Attributes:
        size: How images are brought to one size; ``None`` where they are taken as they are.
        mean: For each channel, in units of 1.
        std: Likewise.
    """

    size: Sizing | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        """The input, (3, height, width) float32."""
        image = image.convert("RGB")
        pixels = torch.from_numpy(np.array(image if self.size is None else self.size(image))).permute(2, 0, 1)
        mean, std = (torch.tensor(each).reshape(-1, 1, 1) for each in (self.mean, self.std))
        return (pixels / LEVELS - mean) / std

    @property
    def options(self) -> dict[str, Any]:
        """The same as arguments of those who read data."""
        sized = {} if self.size is None else {"size": self.size}
        return {"transform": self, "channels": COLOURS, "mean": list(self.mean), "std": list(self.std), **sized}


def torchvision_inputs(transform: Any) -> dict[str, Any]:
    """Arguments of whoever reads data for published weights of torchvision.

    Args:
        transform: Their own preset.
    """
    (resize,), (crop,) = transform.resize_size, transform.crop_size
    size = Sizing(resize, (crop, crop), transform.interpolation.value)
    own = ImageInputs(size, tuple(transform.mean), tuple(transform.std))
    return own.options | {"transform": transform}


def saved_inputs(folder: Path) -> dict[str, Any]:
    """Arguments of whoever reads data for a network that transformers saved; empty where it says nothing of images.

    Args:
        folder: Of the network. No code in it is run.

    Raises:
        TaskError: What its file says cannot be done here just so.
    """
    file = folder / PREPROCESSOR
    if not file.is_file():
        return {}
    import transformers

    reader: Any = transformers.AutoImageProcessor
    try:
        processor = reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, TypeError, OSError, KeyError, ImportError) as error:
        raise TaskError(f"{file} cannot be read: {' '.join(str(error).split())}; {_way_out(folder)}") from error
    inputs = _inputs_of(processor.to_dict())
    if not _same(inputs, processor):
        raise TaskError(
            f"{file}: {type(processor).__name__} does more to an image than resize, crop, rescale and normalise, and "
            f"nothing else is done here; {_way_out(folder)}"
        )
    return inputs.options


def _way_out(folder: Path) -> str:
    return f"remove it from a copy of {folder}, and give size, mean and std under options.dataset, or data of your own"


def _inputs_of(told: dict[str, Any]) -> ImageInputs:
    # What rescaling by another factor than 1/255 comes to is a part of mean and deviation in units of 1.
    unit = LEVELS * (told["rescale_factor"] if told.get("do_rescale") else 1.0)
    normalised = told.get("do_normalize") and told.get("image_mean") is not None
    mean, std = (
        np.broadcast_to(told[key] if normalised else plain, COLOURS) / unit
        for key, plain in (("image_mean", 0.0), ("image_std", 1.0))
    )
    return ImageInputs(_sizing(told), tuple(mean.tolist()), tuple(std.tolist()))


def _sizing(told: dict[str, Any]) -> Sizing | None:
    crop = _pair(told.get("crop_size")) if told.get("do_center_crop") else None
    size = told.get("size") or {}
    if not told.get("do_resize"):
        return None
    resize: int | tuple[int, int] | None = _pair(size)
    if resize is None and size.get("shortest_edge"):
        resize = int(size["shortest_edge"])
        if told.get("crop_pct") and crop is None:
            # ConvNeXt's: small images are cut out of larger ones, and from 384 pixels on the whole image is stretched.
            crop = (resize, resize)
            resize = int(resize / told["crop_pct"]) if resize < CONVNEXT_WHOLE else crop
    if resize is None:
        return None
    return Sizing(resize, crop, Image.Resampling(told.get("resample", Image.Resampling.BILINEAR)).name.lower())


def _pair(size: dict[str, Any] | None) -> tuple[int, int] | None:
    if not size or not size.get("height") or not size.get("width"):
        return None
    return int(size["height"]), int(size["width"])


def _same(inputs: ImageInputs, processor: Any) -> bool:
    """Whether both ways make the same of images, but for rounding."""
    scale = LEVELS * np.array(inputs.std).reshape(-1, 1, 1)
    for width, height in PROBE_SIZES:
        across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
        waves = [0.5 + 0.5 * np.sin(7 * across + turn * down) for turn in (3.0, 5.0, 9.0)]
        image = Image.fromarray((np.stack(waves, axis=-1) * [250, 180, 90]).astype(np.uint8))
        theirs = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
        ours = inputs(image).numpy()
        if theirs.shape != ours.shape:
            return False
        apart = np.abs(theirs - ours) * scale
        if apart.max() > TOLERANCE_LEVELS or apart.mean() > MEAN_TOLERANCE_LEVELS:
            return False
    return True
