"""Folders of images, one folder a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from rdsearch.errors import MissingDataError, TaskError
from rdsearch.tasks.data.arrays import ImageOptions, checked_channels, source_of
from rdsearch.tasks.data.decoding import Encoded, Images, check_cached, decode_cached, form_of, open_image
from rdsearch.tasks.data.sizing import Sizing, described
from rdsearch.tasks.data.source import DataSource
from rdsearch.tasks.data.visible import is_visible, visible_files
from rdsearch.tasks.folders import DATA_VARIABLE, data_folders
from rdsearch.tasks.splits import Split
from rdsearch.tasks.splits.loader import LoaderSplit

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".jfif")
HELD_OUT = ("test", "val", "validation")

IMAGENET_CLASSES = 1000


def image_folder(
    path: Path,
    *,
    size: int | Sizing | None = None,
    channels: int | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    augmentation: str | None = None,
) -> DataSource:
    """Read ``train/CLASS/*``, and ``test/CLASS/*`` or ``val/CLASS/*``; decoded once and kept as arrays.

    Hidden files and folders are passed over. The training images alone decide whether all are grey, in every split. Of
    the test images no more than the headers are looked at before they are asked for.

    With both ``test`` and ``val`` the latter is the validation part; ``val`` alone is the test split, as
    ImageNet has it.

    Args:
        path: The folder that holds ``train``. Classes are numbered by name.
        size: Scale and crop to ``size`` x ``size`` pixels; needed when the images differ in size.
        channels: 1 for grey, 3 for colour; grey where all training images are when not given.
        mean: For each channel, in units of 1; the training images' own when not given.
        std: Likewise.
        augmentation: ``crop_and_flip``, or none.

    Raises:
        TaskError: No such folders, classes that differ, or an image that cannot be read: which one is said.
    """
    test, validation = _held_out(path)
    classes = _classes(path / "train")
    train = decode_cached(_images(path / "train", classes), size, channels=checked_channels(channels))
    form = form_of(train[0])
    held_out = {role: _images(path / role, classes) for role in (test, validation) if role is not None}
    if test is not None:
        check_cached(held_out[test], size, form)
    return source_of(
        train,
        None if test is None else partial(decode_cached, held_out[test], size, form),
        None if validation is None else decode_cached(held_out[validation], size, form),
        ImageOptions(mean, std, augmentation, described(size)),
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
    classes = _classes(path / "train")
    read = partial(_lazy, classes=classes, transform=transform, workers=workers)
    if test is not None:
        _check_classes(path / test, classes)
    return DataSource(
        train=read(path / "train"),
        test=None if test is None else partial(read, path / test),
        classes=IMAGENET_CLASSES,
    )


class _Folder(Dataset[tuple[Any, int]]):
    """Images that are decoded when they are asked for.

    Args:
        folder: Holds one folder for each class.
        classes: The training folder's, which number those of every split.
        transform: From a PIL image to a tensor.
    """

    def __init__(self, folder: Path, classes: list[str], transform: Callable[[Any], Any]) -> None:
        found = [(str(file), label) for file, label in _files(folder, classes)]
        self.paths = [path for path, _ in found]
        self.targets = [label for _, label in found]
        self._transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path = self.paths[index]
        image = open_image((path, Path(path).read_bytes(), 0)).convert("RGB")
        return self._transform(image), self.targets[index]


def _lazy(folder: Path, classes: list[str], transform: Callable[[Any], Any] | None, workers: int) -> Split:
    from torchvision.transforms._presets import ImageClassification

    images = _Folder(folder, classes, transform or ImageClassification(crop_size=224))
    return LoaderSplit(DataLoader(images, num_workers=workers))


def _held_out(path: Path) -> tuple[str | None, str | None]:
    """Names of the folders of the test and the validation split."""
    if not (path / "train").is_dir():
        raise TaskError(f"{path} holds no folder 'train' with one folder of images for each class")
    found = [name for name in HELD_OUT if (path / name).is_dir()]
    if "test" in found:
        return "test", next((name for name in found if name != "test"), None)
    return (found[0] if found else None), None


def _classes(folder: Path) -> list[str]:
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and is_visible(entry))
    if not classes:
        raise TaskError(f"{folder} holds no folders: one for each class is needed")
    return classes


def _check_classes(folder: Path, classes: list[str]) -> list[str]:
    """The classes of a folder, all of which the training folder has."""
    found = _classes(folder)
    if unknown := [name for name in found if name not in classes]:
        raise TaskError(f"{folder} has the class {unknown[0]!r}, which the training folder does not have")
    return found


def _files(folder: Path, classes: list[str]) -> Iterator[tuple[Path, int]]:
    for name in _check_classes(folder, classes):
        images = others = 0
        for file in visible_files(folder / name):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                images += 1
                yield file, classes.index(name)
            else:
                others += 1
        if not images:
            way_out = "convert its files, or remove the folder" if others else "remove the folder"
            raise TaskError(
                f"{folder / name} holds no image ({', '.join(IMAGE_SUFFIXES)}), and would be a class: {way_out}"
            )


def _images(folder: Path, classes: list[str]) -> Images:
    files = list(_files(folder, classes))
    return Images([file for file, _ in files], ",".join(classes), len(files), partial(_encoded, files))


def _encoded(files: list[tuple[Path, int]]) -> Iterator[Encoded]:
    for file, label in files:
        yield str(file), file.read_bytes(), label
