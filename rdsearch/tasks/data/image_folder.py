"""Folders of images, one folder a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from rdsearch.errors import MissingDataError, TaskError
from rdsearch.tasks.data.arrays import ImageOptions, Pair, source_of
from rdsearch.tasks.data.decoding import Encoded, decode_cached, open_image
from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.folders import DATA_VARIABLE, data_folders
from rdsearch.tasks.splits import Split
from rdsearch.tasks.splits.loader import LoaderSplit

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
HELD_OUT = ("test", "val", "validation")

IMAGENET_CLASSES = 1000


def image_folder(
    path: Path,
    *,
    size: int | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    augmentation: str | None = None,
) -> DataSource:
    """Read ``train/CLASS/*``, and ``test/CLASS/*`` or ``val/CLASS/*``; decoded once and kept as arrays.

    With both ``test`` and ``val`` the latter is the validation part; ``val`` alone is the test split, as
    ImageNet has it.

    Args:
        path: The folder that holds ``train``. Classes are numbered by name.
        size: Scale and crop to ``size`` x ``size`` pixels; needed when the images differ in size.
        mean: For each channel, in units of 1; the training images' own when not given.
        std: Likewise.
        augmentation: ``crop_and_flip``, or none.

    Raises:
        TaskError: No such folders, classes that differ, or an image that cannot be read: which one is said.
    """
    test, validation = _held_out(path)
    classes = _classes(path / "train")

    def read(role: str) -> Pair:
        files = _files(path / role, classes)
        return decode_cached([file for file, _ in files], ",".join(classes), len(files), _encoded(files), size)

    return source_of(
        read("train"),
        None if test is None else partial(read, test),
        None if validation is None else read(validation),
        ImageOptions(mean, std, augmentation),
        str(path),
    )


def imagenet(root: Path | None = None, transform: Callable[[Any], Any] | None = None, workers: int = 0) -> DataSource:
    """ImageNet (ILSVRC 2012) from ``imagenet/train/CLASS/*.JPEG`` and ``imagenet/val/CLASS/*.JPEG``.

    Too large to keep decoded: images are read as they are needed, and ``val`` is the test split.

    Args:
        root: Folder that holds ``imagenet``.
        transform: From a PIL image to a tensor; scaling to 256 and the middle 224 pixels when not given.
        workers: Processes that read ahead.

    Raises:
        MissingDataError: It is not there: it cannot be downloaded without an account.
    """
    places = [folder / "imagenet" for folder in data_folders(root)]
    path = next((place for place in places if (place / "train").is_dir()), None)
    if path is None:
        raise MissingDataError(
            f"ImageNet is not in {' or '.join(map(str, places))}. It needs an account: get the archives from "
            "image-net.org, unpack them to imagenet/train/CLASS/*.JPEG and imagenet/val/CLASS/*.JPEG, and name the "
            f"folder that holds imagenet: task.root, or the variable {DATA_VARIABLE}."
        )
    test, _ = _held_out(path)
    read = partial(_lazy, transform=transform, workers=workers)
    return DataSource(
        train=read(path / "train"),
        test=None if test is None else partial(read, path / test),
        classes=IMAGENET_CLASSES,
    )


def _lazy(folder: Path, transform: Callable[[Any], Any] | None, workers: int) -> Split:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms._presets import ImageClassification

    try:
        images = ImageFolder(str(folder), transform or ImageClassification(crop_size=224), loader=_load)
    except OSError as error:
        raise TaskError(f"{folder}: {error}") from None
    return LoaderSplit(DataLoader(images, num_workers=workers))


def _load(path: str) -> Image.Image:
    return open_image((path, Path(path).read_bytes(), 0)).convert("RGB")


def _held_out(path: Path) -> tuple[str | None, str | None]:
    """Names of the folders of the test and the validation split."""
    if not (path / "train").is_dir():
        raise TaskError(f"{path} holds no folder 'train' with one folder of images for each class")
    found = [name for name in HELD_OUT if (path / name).is_dir()]
    if "test" in found:
        return "test", next((name for name in found if name != "test"), None)
    return (found[0] if found else None), None


def _classes(folder: Path) -> list[str]:
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not classes:
        raise TaskError(f"{folder} holds no folders: one for each class is needed")
    return classes


def _files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    found = _classes(folder)
    if unknown := [name for name in found if name not in classes]:
        raise TaskError(f"{folder} has the class {unknown[0]!r}, which the training folder does not have")
    return [
        (file, classes.index(name))
        for name in found
        for file in sorted((folder / name).rglob("*"))
        if file.suffix.lower() in IMAGE_SUFFIXES
    ]


def _encoded(files: list[tuple[Path, int]]) -> Iterator[Encoded]:
    for file, label in files:
        yield str(file), file.read_bytes(), label
