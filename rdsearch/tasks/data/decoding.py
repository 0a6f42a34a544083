"""Encoded images to one array: decoded once, kept in the cache folder, read back as a memory map."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rdsearch.errors import TaskError
from rdsearch.tasks.folders import cache_folder, cache_subfolder

Encoded = tuple[str, bytes | None, int]
"""Where an image comes from (for messages), its encoded bytes, and its label."""

CHUNK = 512
"""Images decoded between two writes."""

GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")


def decode_cached(
    sources: list[Path], settings: str, count: int, images: Iterable[Encoded], size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Decode images, or read back what was decoded before.

    Args:
        sources: The files; their names, sizes and times of change tell whether the cache still holds.
        settings: Whatever else the result depends on.
        count: How many images there are.
        images: Read only when nothing is cached.
        size: Images are scaled and cropped to ``size`` x ``size``; ``None`` when they all have one shape.

    Returns:
        Images (count, channels, height, width) uint8, one channel when the first image is grey and three
        otherwise; labels (count,) int64. Both read-only memory maps.

    Raises:
        TaskError: An image that cannot be decoded, or has another shape than the first.
    """
    stamps = [f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sources]
    key = hashlib.sha256("\n".join([settings, str(size), *stamps]).encode()).hexdigest()[:32]
    folder = cache_folder() / "decoded" / key
    if not folder.is_dir():
        cache_subfolder(folder.parent.name)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{key}."))
        try:
            _decode_into(temporary, count, images, size)
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, and its copy is as good
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    # As plain arrays over the map: what travels to other processes is then the content.
    return (
        np.asarray(np.load(folder / "images.npy", mmap_mode="r")),
        np.asarray(np.load(folder / "labels.npy", mmap_mode="r")),
    )


def _decode_into(folder: Path, count: int, images: Iterable[Encoded], size: int | None) -> None:
    iterator = iter(images)
    labels = np.empty(count, dtype=np.int64)
    pixels: np.memmap[Any, Any] | None = None
    grey: bool | None = None
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(iterator, CHUNK)):
            if grey is None:
                grey = open_image(chunk[0]).mode in GREY_MODES
            for entry, image in zip(chunk, pool.map(partial(decode_image, grey=grey, size=size), chunk), strict=True):
                if pixels is None:
                    pixels = np.lib.format.open_memmap(
                        folder / "images.npy", mode="w+", dtype=np.uint8, shape=(count, *image.shape)
                    )
                if image.shape != pixels.shape[1:]:
                    raise TaskError(
                        f"{entry[0]} is {image.shape[1]} x {image.shape[2]} pixels, the first image "
                        f"{pixels.shape[2]} x {pixels.shape[3]}: give options.dataset.size to bring all to one size"
                    )
                pixels[done] = image
                labels[done] = entry[2]
                done += 1
    if pixels is None:
        raise TaskError("no image found: at least one is needed")
    pixels.flush()
    np.save(folder / "labels.npy", labels)


def open_image(entry: Encoded) -> Image.Image:
    """Decode one image, in its own mode and size.

    Raises:
        TaskError: It cannot be decoded; where it comes from is said.
    """
    where, data, _ = entry
    if not data:
        raise TaskError(f"{where} holds no image bytes")
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TaskError(f"{where} is no readable image: {error}") from None
    return image


def decode_image(entry: Encoded, *, grey: bool, size: int | None) -> np.ndarray:
    """Decode one image to (1 or 3, height, width) uint8.

    Raises:
        TaskError: It cannot be decoded.
    """
    image = open_image(entry).convert("L" if grey else "RGB")
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
