from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet as pq

from rdsearch.errors import TaskError
from rdsearch.tasks.data.paths import open_path
from rdsearch.tasks.splits import Split


def picture(seed: int, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> Image.Image:
    shape = (size[1], size[0]) + ((3,) if mode == "RGB" else ())
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode)


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def rows(count: int, first: int = 0, mode: str = "RGB") -> tuple[list[bytes], list[int]]:
    return [encoded(picture(first + index, mode=mode)) for index in range(count)], [index % 3 for index in range(count)]


def write_parquet(
    path: Path, images: list[Any], labels: list[Any], names: tuple[str, str] = ("image", "label")
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": image, "path": f"{index}.png"} for index, image in enumerate(images)]
    pq.write_table(pa.table({names[0]: cells, names[1]: labels}), path)


def pixels(split: Split) -> np.ndarray:
    """The stored images again, from what the network is given."""
    return torch.cat([inputs for inputs, _ in split.batches(100)]).numpy()


@pytest.mark.parametrize("names", [("image", "label"), ("img", "labels"), ("image", "fine_label")])
def test_a_folder_of_shards_is_read_in_order(tmp_path: Path, names: tuple[str, str]) -> None:
    images, labels = rows(7)
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", images[:4], labels[:4], names)
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", images[4:], labels[4:], names)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", *rows(3, 50), names)
    source = open_path(str(tmp_path), None, {"mean": 0.0, "std": 1.0})
    assert source.test is not None
    assert (len(source.train), len(source.test()), source.classes, source.validation) == (7, 3, 3, None)
    expected = [np.asarray(picture(index)).transpose(2, 0, 1) / 255 for index in range(7)]
    np.testing.assert_allclose(pixels(source.train), expected, atol=1e-6)
    assert source.train.labels is not None
    assert source.train.labels.tolist() == labels


@pytest.mark.parametrize(
    "files",
    [
        {"train": "train.parquet", "validation": "validation.parquet", "test": "test.parquet"},
        {
            "train": "default/train/0000.parquet",
            "validation": "default/val/0000.parquet",
            "test": "default/test/0.parquet",
        },
        {"train": "plain_text/x-train.parquet", "validation": "plain_text/x-valid.parquet", "test": "x-test-1.parquet"},
    ],
)
def test_splits_are_told_by_the_names_of_files_and_folders(tmp_path: Path, files: dict[str, str]) -> None:
    for count, role in enumerate(("train", "validation", "test"), start=2):
        write_parquet(tmp_path / files[role], *rows(count))
    source = open_path(str(tmp_path), None, {})
    assert source.validation is not None
    assert source.test is not None
    assert (len(source.train), len(source.validation), len(source.test())) == (2, 3, 4)


def test_a_single_file_is_for_training_and_a_relative_path_is_found_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "some" / "digits.parquet", *rows(5, mode="L"))
    monkeypatch.setenv("RDSEARCH_DATA", str(tmp_path))
    source = open_path("some/digits.parquet", None, {})
    assert source.test is None
    assert pixels(source.train).shape == (5, 1, 5, 6)
    assert len(open_path("some/digits.parquet", tmp_path, {}).train) == 5


def test_images_are_decoded_once_and_again_when_the_file_changes(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, *rows(4))
    first = open_path(str(path), None, {}).train.fingerprint
    (kept,) = (cache / "decoded").iterdir()
    stamp = (kept / "images.npy").stat().st_mtime_ns
    assert open_path(str(path), None, {}).train.fingerprint == first
    assert (kept / "images.npy").stat().st_mtime_ns == stamp
    write_parquet(path, *rows(4, 9))
    os.utime(path, ns=(1, 1))
    assert open_path(str(path), None, {}).train.fingerprint != first


def test_images_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    images = [encoded(picture(0)), encoded(picture(1, (9, 4)))]
    write_parquet(tmp_path / "x.parquet", images, [0, 1])
    with pytest.raises(TaskError, match=r"row 1 is 4 x 9 pixels, the first image 5 x 6: give options\.dataset\.size"):
        open_path(str(tmp_path), None, {})
    assert pixels(open_path(str(tmp_path), None, {"size": 4}).train).shape == (2, 3, 4, 4)


def test_inputs_are_normalised_by_the_training_images(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", *rows(20))
    train = pixels(open_path(str(tmp_path), None, {}).train)
    np.testing.assert_allclose(train.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(axis=(0, 2, 3)), 1, atol=1e-5)


def break_image(path: Path) -> None:
    images, labels = rows(4)
    images[2] = images[2][:40]
    write_parquet(path, images, labels)


def lose_image(path: Path) -> None:
    images, labels = rows(4)
    write_parquet(path, [images[0], None], labels[:2])


def negative_label(path: Path) -> None:
    write_parquet(path, rows(2)[0], [0, -1])


def word_label(path: Path) -> None:
    write_parquet(path, rows(2)[0], ["cat", "dog"])


def no_column(path: Path) -> None:
    write_parquet(path, *rows(2), ("photo", "label"))


def no_rows(path: Path) -> None:
    schema = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()})
    pq.write_table(schema.empty_table(), path)


def truncated(path: Path) -> None:
    write_parquet(path, *rows(40))
    path.write_bytes(path.read_bytes()[:-200])


def damaged_inside(path: Path) -> None:
    write_parquet(path, *rows(40))
    content = bytearray(path.read_bytes())
    content[200:1200] = bytes([255]) * 1000
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (break_image, r"x\.parquet, row 2 is no readable image"),
        (lose_image, r"x\.parquet, row 1 holds no image bytes"),
        (negative_label, "label -1 at position 1"),
        (word_label, r"row 0: label 'cat' is no integer"),
        (no_column, r"no column image or img, only photo, label: .*options\.dataset\.image"),
        (no_rows, "no image found"),
        (truncated, "not every file is a readable parquet file"),
        (damaged_inside, r"x\.parquet is damaged after row 0"),
    ],
)
def test_bad_shards_are_named_and_leave_nothing_in_the_cache(
    tmp_path: Path, cache: Path, damage: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "x.parquet"
    damage(path)
    with pytest.raises(TaskError, match=said):
        open_path(str(path), None, {})
    left = list((cache / "decoded").iterdir()) if (cache / "decoded").exists() else []
    assert len(left) == (damage is negative_label)  # images that are fine stay decoded


def test_real_jpeg_shards_are_read(real_cifar_parquet: Path) -> None:
    source = open_path(str(real_cifar_parquet / "test.parquet"), None, {})
    assert (len(source.train), source.classes) == (10_000, 10)
    assert pixels(source.train.subset(np.arange(3))).shape == (3, 3, 32, 32)


def write_folder(root: Path, role: str, count: int, classes: tuple[str, ...] = ("ant", "bee")) -> None:
    for label, name in enumerate(classes):
        (root / role / name).mkdir(parents=True)
        for index in range(count):
            picture(10 * label + index).save(root / role / name / f"{index}.png")


def test_an_image_folder_numbers_its_classes_by_name(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", 2)
    write_folder(tmp_path, "val", 1)
    source = open_path(str(tmp_path), None, {"mean": 0.0, "std": 1.0})
    assert source.train.labels is not None
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    assert source.validation is None
    assert source.test is not None
    assert len(source.test()) == 2
    np.testing.assert_allclose(pixels(source.train)[2], np.asarray(picture(10)).transpose(2, 0, 1) / 255, atol=1e-6)


def test_an_image_folder_may_hold_all_three_splits(tmp_path: Path) -> None:
    for count, role in enumerate(("train", "val", "test"), start=1):
        write_folder(tmp_path, role, count)
    source = open_path(str(tmp_path), None, {})
    assert source.validation is not None
    assert source.test is not None
    assert (len(source.train), len(source.validation), len(source.test())) == (2, 4, 6)


LEFT_BEHIND = (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".cache")


@pytest.mark.parametrize("name", LEFT_BEHIND)
@pytest.mark.parametrize("place", ["train", "train/ant", "train/ant/deeper", "val", "val/bee"])
def test_what_programs_leave_in_image_folders_is_passed_over(tmp_path: Path, place: str, name: str) -> None:
    write_folder(tmp_path, "train", 2)
    write_folder(tmp_path, "val", 1)
    (tmp_path / place / name).mkdir(parents=True)
    picture(3).save(tmp_path / place / name / "0.png")
    (tmp_path / place / "._0.png").write_bytes(b"Mac OS X")
    source = open_path(str(tmp_path), None, {})
    assert source.classes == 2
    assert source.train.labels is not None
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    assert source.test is not None
    assert len(source.test()) == 2


def test_hidden_shards_are_passed_over(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "train-0.parquet", *rows(4))
    write_parquet(tmp_path / ".cache" / "train-0.parquet", *rows(3))
    (tmp_path / "data" / "._train-0.parquet").write_bytes(b"Mac OS X")
    assert len(open_path(str(tmp_path), None, {}).train) == 4


def test_a_folder_without_an_image_is_no_class(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", 1)
    (tmp_path / "train" / "aaa").mkdir()
    (tmp_path / "train" / "aaa" / "notes.txt").write_text("none")
    with pytest.raises(TaskError, match=r"train/aaa holds no image .*remove the folder"):
        open_path(str(tmp_path), None, {})


@pytest.mark.parametrize("grey", ["train", "val", "test"])
@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_one_grey_image_among_coloured_ones_is_made_coloured_in_every_split(
    tmp_path: Path, kind: str, grey: str
) -> None:
    for role in ("train", "val", "test"):
        if kind == "folder":
            write_folder(tmp_path, role, 2)
        else:
            write_parquet(tmp_path / f"{role}.parquet", *rows(4))
    if kind == "folder":
        picture(0, mode="L").save(tmp_path / grey / "ant" / "0.png")
    else:
        images, labels = rows(4)
        write_parquet(tmp_path / f"{grey}.parquet", [encoded(picture(0, mode="L")), *images[1:]], labels)
    source = open_path(str(tmp_path), None, {"mean": 0.0, "std": 1.0})
    assert source.validation is not None
    assert source.test is not None
    splits = {"train": source.train, "val": source.validation, "test": source.test()}
    assert {pixels(split).shape[1:] for split in splits.values()} == {(3, 5, 6)}
    first = np.broadcast_to(np.asarray(picture(0, mode="L"))[None], (3, 5, 6))
    np.testing.assert_allclose(pixels(splits[grey])[0], first / 255, atol=1e-6)


def test_a_coloured_test_image_is_made_grey_where_all_training_images_are(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", *rows(3, mode="L"))
    write_parquet(tmp_path / "test.parquet", *rows(2))
    source = open_path(str(tmp_path), None, {"mean": 0.0, "std": 1.0})
    assert source.test is not None
    np.testing.assert_allclose(pixels(source.test())[0, 0], np.asarray(picture(0).convert("L")) / 255, atol=1e-6)


DEEP = {
    "16 bits": Image.fromarray(np.full((5, 6), 40_000, np.uint16)),
    "32 bits": Image.fromarray(np.full((5, 6), 40_000, np.int32)),
    "floats": Image.fromarray(np.full((5, 6), 0.5, np.float32)),
}


@pytest.mark.parametrize("image", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("role", ["train", "val", "test"])
def test_images_of_more_than_8_bits_are_refused_in_every_split_at_once(
    tmp_path: Path, role: str, image: Image.Image
) -> None:
    for split in ("train", "val", "test"):
        write_folder(tmp_path, split, 2)
    image.save(tmp_path / role / "bee" / "1.tif")
    with pytest.raises(TaskError, match=rf"{role}/bee/1\.tif has pixels of more than 8 bits .*convert the images"):
        open_path(str(tmp_path), None, {})


def damage_size(path: Path) -> None:
    picture(1, (9, 4)).save(path)


def damage_bytes(path: Path) -> None:
    path.write_bytes(b"not an image")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_size, r"test/bee/0\.png is 4 x 9 pixels, the training images 5 x 6: give options\.dataset\.size"),
        (damage_bytes, r"test/bee/0\.png is no readable image"),
    ],
)
def test_test_images_that_cannot_be_read_later_are_named_at_once(
    tmp_path: Path, cache: Path, damage: Callable[[Path], None], said: str
) -> None:
    write_folder(tmp_path, "train", 2)
    write_folder(tmp_path, "test", 1)
    good = (tmp_path / "test" / "bee" / "0.png").read_bytes()
    damage(tmp_path / "test" / "bee" / "0.png")
    with pytest.raises(TaskError, match=said):
        open_path(str(tmp_path), None, {})
    (tmp_path / "test" / "bee" / "0.png").write_bytes(good)
    source = open_path(str(tmp_path), None, {})
    assert len([file for file in (cache / "decoded").iterdir() if file.is_dir()]) == 1  # the training images alone
    assert source.test is not None
    assert len(source.test()) == 2


def test_image_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="holds no folder 'train'"):
        open_path(str(tmp_path), None, {})
    (tmp_path / "train").mkdir()
    with pytest.raises(TaskError, match="holds no folders"):
        open_path(str(tmp_path), None, {})
    write_folder(tmp_path, "train", 1)
    write_folder(tmp_path, "test", 1, ("ant", "cat"))
    with pytest.raises(TaskError, match="class 'cat'"):
        open_path(str(tmp_path), None, {})
    (tmp_path / "train" / "ant" / "0.png").write_bytes(b"not an image")
    with pytest.raises(TaskError, match=r"ant/0\.png is no readable image"):
        open_path(str(tmp_path), None, {})


def test_imagenet_is_read_lazily_from_its_folder(tmp_path: Path) -> None:
    from rdsearch.tasks.data.image_folder import imagenet

    with pytest.raises(TaskError, match=r"imagenet/train/CLASS/\*\.JPEG"):
        imagenet(tmp_path)
    write_folder(tmp_path / "imagenet", "train", 2)
    write_folder(tmp_path / "imagenet", "val", 1)
    source = imagenet(tmp_path)
    assert source.test is not None
    assert (len(source.train), len(source.test()), source.classes) == (4, 2, 1000)
    inputs, targets = next(iter(source.train.batches(4)))
    assert inputs.shape == (4, 3, 224, 224)
    assert targets.tolist() == [0, 0, 1, 1]
    (tmp_path / "imagenet" / "train" / ".hidden").mkdir()
    picture(5).save(tmp_path / "imagenet" / "train" / ".hidden" / "0.png")
    shutil.rmtree(tmp_path / "imagenet" / "val" / "ant")
    source = imagenet(tmp_path)
    assert source.train.labels is not None
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    assert source.test is not None
    assert next(iter(source.test().batches(4)))[1].tolist() == [1]  # numbered as in training
    (tmp_path / "imagenet" / "train" / "bee" / "1.png").write_bytes(b"not an image")
    with pytest.raises(TaskError, match=r"bee/1\.png is no readable image"):
        next(iter(source.train.batches(4)))


@pytest.mark.parametrize("shape", [(6, 5), (3, 6, 5), (6, 5, 3)])
def test_npz_images_get_channels_first(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    path = tmp_path / "x.npz"
    np.savez(path, x_train=images, y_train=np.arange(8) % 4, x_test=images[:3], y_test=np.arange(3))
    source = open_path(str(path), None, {"mean": 0.0, "std": 1.0})
    assert source.test is not None
    assert (len(source.train), len(source.test()), source.classes) == (8, 3, 4)
    first = images[:, None] if len(shape) == 2 else images
    first = first.transpose(0, 3, 1, 2) if shape[-1] == 3 else first
    np.testing.assert_allclose(pixels(source.train), first / 255, atol=1e-6)


@pytest.mark.parametrize("role", ["val", "test"])
def test_npz_splits_that_are_stored_otherwise_are_refused_at_once(tmp_path: Path, role: str) -> None:
    images = np.zeros((8, 6, 5), np.uint8)
    for other, said in (
        (images.astype(np.float32), r"is float32 \(8, 6, 5\)"),
        (images[:, 1:], r"is uint8 \(8, 5, 5\)"),
    ):
        np.savez(
            tmp_path / "x.npz", x_train=images, y_train=np.arange(8), **{f"x_{role}": other, f"y_{role}": np.arange(8)}
        )
        with pytest.raises(TaskError, match=f"x_{role} {said}, x_train is uint8 .*: store both alike"):
            open_path(str(tmp_path / "x.npz"), None, {})


def test_npz_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for content, said in (
        ({"x_train": np.zeros((2, 3))}, "holds x_train but not y_train"),
        ({"x_train": np.array([{}, {}]), "y_train": np.zeros(2)}, "Object arrays cannot be loaded"),
        ({"x_train": np.zeros((2, 3)), "y_train": np.zeros(3)}, "2 inputs but 3 targets"),
    ):
        np.savez(path, **content)  # type: ignore[arg-type]
        with pytest.raises(TaskError, match=said):
            open_path(str(path), None, {})
    path.write_bytes(b"no archive")
    with pytest.raises(TaskError, match=r"no readable \.npz"):
        open_path(str(path), None, {})


@pytest.mark.parametrize("role", ["train", "test"])
def test_an_npz_array_that_declares_more_than_its_file_can_hold_takes_no_memory(tmp_path: Path, role: str) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x_train=np.zeros((2, 3), np.uint8), y_train=np.zeros(2, int))
    header = {"descr": "|u1", "fortran_order": False, "shape": (59_000_000_000, 3)}
    with zipfile.ZipFile(path, "w" if role == "train" else "a") as archive:
        for name, fields in (("x", header), ("y", {**header, "shape": (3,)})):
            with archive.open(f"{name}_{role}.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, fields)  # type: ignore[arg-type]
                file.write(b"abc")
    said = rf"x\.npz, {role}: x_{role} declares 177 GB, and the whole file has [0-9.]+ k?B"

    def read() -> None:
        test = open_path(str(path), None, {}).test
        assert test is not None
        test()

    with pytest.raises(TaskError, match=said):
        read()


def test_images_that_are_named_and_not_held_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"path": "a.png"}, {"path": "b.png"}], "label": [0, 1]}), tmp_path / "x.parquet")
    with pytest.raises(TaskError, match=r"x\.parquet: its column image holds path and no bytes"):
        open_path(str(tmp_path / "x.parquet"), None, {})


def test_paths_and_options_that_name_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no data at"):
        open_path(str(tmp_path / "absent"), None, {})
    (tmp_path / "x.csv").write_text("a")
    with pytest.raises(TaskError, match="is no data set"):
        open_path(str(tmp_path / "x.csv"), None, {})
    write_parquet(tmp_path / "x.parquet", *rows(2))
    with pytest.raises(TaskError, match="Did you mean 'label'"):
        open_path(str(tmp_path / "x.parquet"), None, {"lable": "x"})
    with pytest.raises(TaskError, match="unknown augmentation 'flip': known are crop_and_flip"):
        open_path(str(tmp_path / "x.parquet"), None, {"augmentation": "flip"})
