"""Bringing images of any size to one size, as the network that takes them was trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps


@dataclass(frozen=True)
class Sizing:
    """A way from images of any size to images of one; Pillow does the arithmetic, on 8-bit pixels.

    Attributes:
        resize: Height and width that an image is stretched to; or pixels of its shorter side, the ratio kept.
        crop: Height and width of the middle that is cut out afterwards; everything is kept when not given.
        resample: Name of Pillow's filter.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int] | None = None
    resample: str = "bilinear"

    def __call__(self, image: Image.Image) -> Image.Image:
        """The image, brought to size."""
        if isinstance(self.resize, int):
            shorter, longer = sorted(image.size)
            other = int(self.resize * longer / shorter)
            width, height = (self.resize, other) if image.width <= image.height else (other, self.resize)
        else:
            height, width = self.resize
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling[self.resample.upper()])
        if self.crop is None:
            return image
        top, left = (round((have - keep) / 2) for have, keep in zip((height, width), self.crop, strict=True))
        return image.crop((left, top, left + self.crop[1], top + self.crop[0]))

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of every image; ``None`` where they depend on the image."""
        return self.crop or (None if isinstance(self.resize, int) else self.resize)


def sized(image: Image.Image, size: int | Sizing | None) -> Image.Image:
    """An image brought to size.

    Args:
        image: Of any size.
        size: A way to bring it there; or a number: the largest square in its middle, scaled to so many pixels a side;
            or nothing to be done.
    """
    if size is None or size == image.width == image.height:
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR) if isinstance(size, int) else size(image)


def described(size: int | Sizing | None) -> dict[str, Any]:
    """What was done, ready for YAML: the entry ``resize`` of what a task says of its inputs, or nothing."""
    if size is None:
        return {}
    if isinstance(size, int):
        return {"resize": {"fit": size}}
    told: dict[str, Any] = {"resample": size.resample}
    told |= {"shorter": size.resize} if isinstance(size.resize, int) else {"stretch": list(size.resize)}
    return {"resize": told if size.crop is None else told | {"crop": list(size.crop)}}
