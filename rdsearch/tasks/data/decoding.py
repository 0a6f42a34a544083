"""Encoded images to one array: decoded once, kept in the cache folder, read back as a memory map."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from rdsearch.errors import TaskError
from rdsearch.tasks.data.sizing import Sizing, sized
from rdsearch.tasks.folders import cache_folder, cache_subfolder

Encoded = tuple[str, bytes | None, int]
"""Where an image comes from (for messages), its encoded bytes, and its label."""

Form = tuple[int, int, int]
"""Channels (1 or 3), height and width of every image of a data set."""

CHUNK = 512
"""Images decoded between two writes."""

GREY_MODES = ("1", "L", "LA")

DECODED = "decoded"
"""The folder inside the cache."""

RULES = "2"
"""Changes when the same files would be decoded to other arrays."""


@dataclass(frozen=True)
class Images:
    """The encoded images of a split.

    Attributes:
        sources: The files; their names, sizes and times of change tell whether the cache still holds.
        settings: Whatever else the result depends on.
        count: How many images there are.
        read: Begins to read them.
    """

    sources: Sequence[Path]
    settings: str
    count: int
    read: Callable[[], Iterable[Encoded]]

    def key(self, *more: object) -> str:
        """Changes when the files do, or what is asked for."""
        stamps = [f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self.sources]
        return hashlib.sha256("\n".join([RULES, self.settings, *map(str, more), *stamps]).encode()).hexdigest()[:32]


def decode_cached(
    images: Images, size: int | Sizing | None, form: Form | None = None, channels: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Decode images, or read back what was decoded before.

    Args:
        images: Read only when nothing is cached.
        size: How they are brought to one size, see `rdsearch.tasks.data.sizing.sized`; ``None`` when they have one.
        form: What the training images have come to, and these are to; ``None`` for the training images.
        channels: Of the training images, 1 or 3; one when all of them are grey and three otherwise when not given.

    Returns:
        Images (count, channels, height, width) uint8; labels (count,) int64. Both read-only memory maps.

    Raises:
        TaskError: An image that cannot be decoded, holds more than 8 bits, or has another shape than the others.
    """
    key = images.key(size, form, *([] if channels is None else [channels]))
    folder = cache_folder() / DECODED / key
    if not folder.is_dir():
        cache_subfolder(DECODED)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{key}."))
        try:
            _decode_into(temporary, images, size, form, channels)
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


def check_cached(images: Images, size: int | Sizing | None, form: Form) -> None:
    """Check, by the headers of images alone, that they can be decoded to ``form``; remembered until the files change.

    Raises:
        TaskError: As `decode_cached` would.
    """
    passed = cache_folder() / DECODED / f"{images.key(size, form)}.passed"
    if passed.exists() or passed.with_suffix("").is_dir():
        return
    for entry in images.read():
        image = _opened(entry)
        if size is None:
            _require_shape(entry[0], (form[0], image.height, image.width), form, "the training images")
    cache_subfolder(DECODED)
    passed.touch()


def form_of(images: np.ndarray) -> Form:
    """The form of decoded images (n, channels, height, width)."""
    channels, height, width = images.shape[1:]
    return channels, height, width


def _decode_into(
    folder: Path, images: Images, size: int | Sizing | None, form: Form | None, channels: int | None
) -> None:
    iterator = iter(images.read())
    channels = form[0] if form else channels
    grey = channels == 1 if channels else all(_opened(entry).mode in GREY_MODES for entry in images.read())
    others = "the training images" if form else "the first image"
    labels = np.empty(images.count, dtype=np.int64)
    pixels: np.memmap[Any, Any] | None = None
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(iterator, CHUNK)):
            for entry, image in zip(chunk, pool.map(partial(decode_image, grey=grey, size=size), chunk), strict=True):
                form = form or form_of(image[None])
                _require_shape(entry[0], image.shape, form, others)
                if pixels is None:
                    pixels = np.lib.format.open_memmap(
                        folder / "images.npy", mode="w+", dtype=np.uint8, shape=(images.count, *image.shape)
                    )
                pixels[done] = image
                labels[done] = entry[2]
                done += 1
    if pixels is None:
        raise TaskError("no image found: at least one is needed")
    pixels.flush()
    np.save(folder / "labels.npy", labels)


def _require_shape(where: str, shape: tuple[int, ...], form: Form, others: str) -> None:
    if shape != form:
        raise TaskError(
            f"{where} is {shape[1]} x {shape[2]} pixels, {others} {form[1]} x {form[2]}: give options.dataset.size to "
            "bring all to one size"
        )


def _opened(entry: Encoded) -> Image.Image:
    """An image whose header is read, and whose pixels are not.

    Raises:
        TaskError: It is none, or its pixels do not fit into 8 bits.
    """
    where, data, _ = entry
    if not data:
        raise TaskError(f"{where} holds no image bytes")
    try:
        image = Image.open(io.BytesIO(data))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TaskError(f"{where} is no readable image: {error}") from None
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise TaskError(
            f"{where} has pixels of more than 8 bits (mode {image.mode}), which would be cut off: convert the images "
            "to 8 bits, or give float arrays as .npz"
        )
    return image


def open_image(entry: Encoded) -> Image.Image:
    """Decode one image, in its own mode and size.

    Raises:
        TaskError: It cannot be decoded, or its pixels do not fit into 8 bits; where it comes from is said.
    """
    image = _opened(entry)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TaskError(f"{entry[0]} is no readable image: {error}") from None
    return image


def decode_image(entry: Encoded, *, grey: bool, size: int | Sizing | None) -> np.ndarray:
    """Decode one image to (1 or 3, height, width) uint8.

    Raises:
        TaskError: It cannot be decoded.
    """
    pixels = np.asarray(sized(open_image(entry).convert("L" if grey else "RGB"), size))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
