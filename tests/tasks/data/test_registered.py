from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from rdsearch.errors import MissingDataError, TaskError
from rdsearch.tasks import DATASETS
from rdsearch.tasks.data.augmentation import PADDING, crop_and_flip
from rdsearch.tasks.data.digits import digits, scans
from rdsearch.tasks.data.mnist import fashion_mnist, mnist
from rdsearch.tasks.downloads import without_downloads
from rdsearch.tasks.splits import ArraySplit, Split

DIGITS_TEST = "de0cc23d22b95af7a249a699caf4788ab43b63ee8f18d6e957f5b212e1663e03"


def labels_of(split: Split) -> np.ndarray:
    assert split.labels is not None
    return split.labels


def test_digits_are_cut_once_and_for_all_into_1437_and_360() -> None:
    source = digits()
    assert source.test is not None
    test = source.test()
    assert (len(source.train), len(test), source.classes) == (1437, 360, 10)
    assert (np.abs(np.bincount(labels_of(test)) - 36) <= 1).all()
    assert test.fingerprint == DIGITS_TEST


def test_digits_are_those_that_scikit_learn_gives() -> None:
    images, labels = scans()
    expected, digits_ = load_digits(return_X_y=True)
    assert (images.dtype, labels.dtype) == (expected.dtype, digits_.dtype)
    assert np.array_equal(images, expected)
    assert np.array_equal(labels, digits_)


def test_digits_are_normalised_and_no_image_is_in_both_parts() -> None:
    source = digits()
    assert source.test is not None
    train = torch.cat([inputs for inputs, _ in source.train.batches(500)])
    test = torch.cat([inputs for inputs, _ in source.test().batches(500)])
    assert train.shape == (1437, 1, 8, 8)
    assert abs(float(train.mean())) < 0.01
    assert abs(float(train.std()) - 1) < 0.01
    assert not {row.numpy().tobytes() for row in train} & {row.numpy().tobytes() for row in test}


def test_real_mnist_is_read_where_it_lies(real_mnist: Path) -> None:
    source = mnist(real_mnist)
    assert source.test is not None
    assert (len(source.train), len(source.test()), source.classes) == (60_000, 10_000, 10)
    inputs = torch.cat([inputs for inputs, _ in source.train.batches(10_000)])
    assert inputs.shape == (60_000, 1, 28, 28)
    assert abs(float(inputs.mean())) < 1e-3
    assert abs(float(inputs.std()) - 1) < 1e-3


def write_idx(folder: Path, prefix: str, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, count, 28, 28) + pixels.tobytes())
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, count) + labels.tobytes())


def test_the_test_split_of_mnist_is_read_only_when_asked_for(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write_idx(raw, "train", 20)
    write_idx(raw, "t10k", 10)
    source = mnist(tmp_path)
    for file in raw.glob("t10k*"):
        file.write_bytes(b"")
    assert len(source.train) == 20
    assert pickle.dumps(source.test)


def test_mnist_is_found_by_the_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / "FashionMNIST" / "raw", prefix, 10)
    monkeypatch.setenv("RDSEARCH_DATA", str(tmp_path))
    assert len(fashion_mnist().train) == 10


def test_where_nothing_can_be_had_the_message_says_how_to_place_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", [(tmp_path / "nowhere").as_uri() + "/"])
    with pytest.raises(
        TaskError, match=r"MNIST is not in .*the four IDX files under MNIST/raw.*task\.root.*RDSEARCH_DATA"
    ):
        mnist(tmp_path / "data")


@pytest.fixture
def mirror(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that a web server on this machine offers in place of the data sets' own."""
    monkeypatch.delenv("RDSEARCH_DATA", raising=False)  # where a download would otherwise go
    folder, url = served
    for name in ("MNIST", "FashionMNIST"):
        monkeypatch.setattr(f"torchvision.datasets.{name}.mirrors", [url])
    for name in ("CIFAR10", "CIFAR100"):
        monkeypatch.setattr(f"torchvision.datasets.{name}.url", f"{url}{name}.tar.gz")
    return folder


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_files_are_downloaded_checked_and_used(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    resources = []
    write_idx(tmp_path, "train", 20)
    write_idx(tmp_path, "t10k", 10)
    for file in sorted(tmp_path.glob("*ubyte")):
        (mirror / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        md5 = hashlib.md5((mirror / f"{file.name}.gz").read_bytes()).hexdigest()  # noqa: S324
        resources.append((f"{file.name}.gz", md5))
    monkeypatch.setattr(f"torchvision.datasets.{name}.resources", resources)
    source = {"MNIST": mnist, "FashionMNIST": fashion_mnist}[name]()
    assert source.test is not None
    assert (len(source.train), len(source.test())) == (20, 10)
    assert (tmp_path / "cache" / "data" / name / "raw" / "train-images-idx3-ubyte").exists()


def offer_cifar(mirror: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> bytes:
    """A tiny CIFAR on the mirror, its checksums in place of the real ones; the archive."""
    dataset = f"torchvision.datasets.{name}"
    folder, key = {"CIFAR10": ("cifar-10-batches-py", "labels"), "CIFAR100": ("cifar-100-python", "fine_labels")}[name]
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    files = {
        "some": pickle.dumps({"data": pixels, key: [0, 1, 2, 9]}),
        "held": pickle.dumps({"data": pixels[:2], key: [3, 4]}),
        "meta": pickle.dumps({"names": list("abcdefghij")}),
    }
    checks = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}  # noqa: S324
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (mirror / f"{name}.tar.gz").write_bytes(archive.getvalue())
    monkeypatch.setattr(f"{dataset}.tgz_md5", hashlib.md5(archive.getvalue()).hexdigest())  # noqa: S324
    monkeypatch.setattr(f"{dataset}.train_list", [["some", checks["some"]]])
    monkeypatch.setattr(f"{dataset}.test_list", [["held", checks["held"]]])
    monkeypatch.setattr(f"{dataset}.meta", {"filename": "meta", "key": "names", "md5": checks["meta"]})
    return archive.getvalue()


@pytest.mark.parametrize(("name", "classes"), [("CIFAR10", 10), ("CIFAR100", 100)])
def test_cifar_is_downloaded_checked_and_used(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, name: str, classes: int
) -> None:
    offer_cifar(mirror, monkeypatch, name)
    source = DATASETS.load(name.lower())()
    assert source.test is not None
    assert (len(source.train), len(source.test()), source.classes) == (4, 2, classes)
    assert labels_of(source.train).tolist() == [0, 1, 2, 9]


def test_a_cifar_archive_that_came_half_is_never_used_and_fetched_again(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = offer_cifar(mirror, monkeypatch, "CIFAR10")
    (mirror / "CIFAR10.tar.gz").write_bytes(archive[: len(archive) // 2])
    for _ in range(2):
        with pytest.raises(TaskError, match=r"the download to .* failed .*corrupted"):
            DATASETS.load("cifar10")(tmp_path / "data")
    assert not (tmp_path / "data" / "cifar-10-batches-py").exists()
    (mirror / "CIFAR10.tar.gz").write_bytes(archive)
    assert len(DATASETS.load("cifar10")(tmp_path / "data").train) == 4


def test_files_that_an_interrupted_unpacking_left_cut_off_are_unpacked_again(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_cifar(mirror, monkeypatch, "CIFAR10")
    DATASETS.load("cifar10")(tmp_path)
    batch = tmp_path / "cifar-10-batches-py" / "some"
    batch.write_bytes(batch.read_bytes()[:100])
    assert len(DATASETS.load("cifar10")(tmp_path).train) == 4


def test_without_downloads_what_is_not_here_is_missing(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_cifar(mirror, monkeypatch, "CIFAR10")
    with without_downloads(), pytest.raises(MissingDataError, match="CIFAR10 is not in"):
        DATASETS.load("cifar10")()
    assert len(DATASETS.load("cifar10")().train) == 4


def test_a_download_that_fails_half_way_is_never_used(tmp_path: Path, mirror: Path) -> None:
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"only the beginning"))
    for _ in range(2):
        with pytest.raises(TaskError, match=r"the download to .* failed .*corrupted"):
            mnist(tmp_path / "data")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / "MNIST" / "raw", prefix, 10)
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:500])
    with pytest.raises(TaskError, match=r"MNIST in .* is damaged .*: remove the four IDX files under MNIST/raw"):
        mnist(tmp_path)


def test_cifar_without_its_files_says_where_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in (("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")):
        monkeypatch.setattr(f"torchvision.datasets.{name.upper()}.url", (tmp_path / "nowhere.tar.gz").as_uri())
        with pytest.raises(TaskError, match=folder):
            DATASETS.load(name)(tmp_path)


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    (folder / "batch").write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1, 2, 9]}))
    (folder / "meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(f"torchvision.datasets.CIFAR10.{attribute}", [["batch", None]])
    meta = {"filename": "meta", "key": "label_names", "md5": None}
    monkeypatch.setattr("torchvision.datasets.CIFAR10.meta", meta)
    return pixels.reshape(4, 3, 32, 32)


def test_cifar_images_have_channels_first_and_a_normalisation_that_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = write_cifar10(tmp_path, monkeypatch)
    source = DATASETS.load("cifar10")(tmp_path, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    inputs, labels = next(iter(source.train.batches(4)))
    np.testing.assert_allclose(inputs.numpy(), pixels / 255.0, atol=1e-6)
    assert labels.tolist() == [0, 1, 2, 9]


def test_crop_and_flip_does_what_padding_cropping_and_mirroring_one_by_one_do() -> None:
    images = torch.arange(20 * 3 * 8 * 6).reshape(20, 3, 8, 6)
    changed = crop_and_flip(images, np.random.default_rng(3))
    generator = np.random.default_rng(3)
    top, left = generator.integers(0, 2 * PADDING + 1, size=(2, 20))
    mirrored = generator.random(20) < 0.5
    for index in range(20):
        padded = np.pad(images[index].numpy(), ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))
        crop = padded[:, top[index] : top[index] + 8, left[index] : left[index] + 6]
        expected = crop[:, :, ::-1] if mirrored[index] else crop
        np.testing.assert_array_equal(changed[index].numpy(), expected)
    assert mirrored.any()
    assert not mirrored.all()


def test_augmented_passes_differ_and_repeat_with_their_seed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    split = ArraySplit(pixels, np.arange(8), augmentation=crop_and_flip)

    def once(seed: int) -> torch.Tensor:
        return next(iter(split.batches(8, generator=np.random.default_rng(seed), augment=True)))[0]

    assert torch.equal(once(0), once(0))
    assert not torch.equal(once(0), once(1))
