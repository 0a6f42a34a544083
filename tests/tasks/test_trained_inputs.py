"""Images are brought to a trained network as its own makers bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from rdsearch.errors import TaskError
from rdsearch.shipping.predict import sized as sized_by_predict
from rdsearch.tasks.data.sizing import Sizing, described, sized
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.networks.trained_inputs import saved_inputs, torchvision_inputs
from rdsearch.tasks.settings import TaskConfig

transformers = pytest.importorskip("transformers")


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours, so that a pixel more or less matters little, and a turned channel much."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("processor", "options"),
    [
        ("ViTImageProcessor", {"size": {"height": 24, "width": 32}}),
        ("ViTImageProcessor", {"do_resize": False}),
        ("ViTImageProcessor", {"do_normalize": False}),
        ("ViTImageProcessor", {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 0.9, 0.8]}),
        ("CLIPImageProcessor", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
        ("DeiTImageProcessor", {"size": {"height": 40, "width": 40}, "crop_size": {"height": 32, "width": 32}}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    ],
)
def test_an_image_becomes_what_transformers_makes_of_it(
    processor: str, options: dict[str, object], tmp_path: Path
) -> None:
    theirs = getattr(transformers, processor)(**options)
    theirs.save_pretrained(tmp_path)
    ours = saved_inputs(tmp_path)["transform"]
    for image in (photo(61, 45), photo(40, 90, seed=1)):
        expected = theirs(image, return_tensors="np")["pixel_values"][0]
        found = ours(image).numpy()
        assert found.shape == expected.shape
        levels = np.abs(found - expected) * np.reshape(ours.std, (-1, 1, 1)) * 255
        assert levels.max() <= 3


@pytest.mark.parametrize("processor", ["MobileViTImageProcessor", "EfficientNetImageProcessor"])
def test_what_cannot_be_done_just_so_is_refused(processor: str, tmp_path: Path) -> None:
    getattr(transformers, processor)().save_pretrained(tmp_path)
    with pytest.raises(TaskError, match=rf"{processor} does more to an image than .* options\.dataset"):
        saved_inputs(tmp_path)


def test_a_damaged_preprocessor_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(TaskError, match=r"preprocessor_config\.json cannot be read: "):
        saved_inputs(tmp_path)


def test_an_image_becomes_what_torchvision_makes_of_it() -> None:
    preset = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    size = torchvision_inputs(preset)["size"]
    own = torchvision_inputs(preset)
    for image in (photo(300, 271), photo(180, 333)):
        pixels = torch.from_numpy(np.array(size(image))).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(own[key]).reshape(-1, 1, 1) for key in ("mean", "std"))
        torch.testing.assert_close((pixels - mean) / std, preset(image))


@pytest.mark.parametrize(
    "size", [24, Sizing((20, 30)), Sizing(32, (24, 28), "bicubic"), Sizing((40, 36), (24, 24), "lanczos")]
)
def test_a_shipped_script_sizes_images_as_training_did(size: int | Sizing) -> None:
    for image in (photo(61, 45), photo(24, 24), photo(30, 20)):
        assert np.array_equal(sized(image, size), sized_by_predict(image, described(size)["resize"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A vision transformer for two classes with its preprocessor."""
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    processor = transformers.ViTImageProcessor(
        size={"height": 8, "width": 8}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.25, 0.3]
    )
    processor.save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def test_photos_reach_a_saved_network_as_its_preprocessor_says(folder: Path, tmp_path: Path) -> None:
    images = {}
    for number in range(40):
        place = tmp_path / "photos" / "train" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        images[number] = photo(20 + number, 30, seed=number)
        # Grey ones too: the network takes three channels whatever the photos are.
        (images[number].convert("L") if number % 3 else images[number]).save(place / f"{number:02}.png")
    task = load_task(TaskConfig(network=str(folder), dataset=str(tmp_path / "photos")))
    assert task.inputs["resize"] == {"resample": "bilinear", "stretch": [8, 8]}
    assert task.inputs["mean"] == [0.4, 0.5, 0.6]
    processor = transformers.ViTImageProcessor.from_pretrained(folder)
    expected = np.concatenate(
        [
            processor(Image.open(path).convert("RGB"), return_tensors="np")["pixel_values"]
            for path in sorted((tmp_path / "photos").rglob("*.png"))
        ]
    )
    stored = (task.train.stored_inputs / 255 - np.reshape([0.4, 0.5, 0.6], (3, 1, 1))) / np.reshape(
        [0.2, 0.25, 0.3], (3, 1, 1)
    )
    assert np.abs(stored - expected).max() < 3 / 255 / 0.2
    own = load_task(
        TaskConfig(
            network=str(folder), dataset=str(tmp_path / "photos"), options={"dataset": {"mean": 0.5, "std": 0.5}}
        )
    )
    assert own.inputs["mean"] == 0.5
    assert own.inputs["resize"] == task.inputs["resize"]


def test_pixels_of_arrays_are_normalised_so_and_floats_are_left_as_they_are(folder: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    for name, images in (("pixels", pixels), ("floats", pixels.astype(np.float32))):
        np.savez(tmp_path / f"{name}.npz", x_train=images, y_train=np.arange(40) % 2)
    task, plain = (
        load_task(TaskConfig(network=str(folder), dataset=str(tmp_path / f"{name}.npz")))
        for name in ("pixels", "floats")
    )
    assert task.inputs["std"] == [0.2, 0.25, 0.3]
    assert "std" not in plain.inputs


def test_grey_photos_are_read_in_colour_where_that_is_asked_for(tmp_path: Path) -> None:
    for number in range(20):
        place = tmp_path / "train" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        photo(8, 8, seed=number).convert("L").save(place / f"{number}.png")

    def task(**options: object) -> dict[str, object]:
        network = "torchvision:squeezenet1_1"
        return load_task(TaskConfig(network=network, dataset=str(tmp_path), options={"dataset": options})).inputs

    assert task(channels=3, size=32)["shape"] == [3, 32, 32]
    with pytest.raises(TaskError, match=r"options\.dataset\.channels = 2: give 1 for grey images or 3 for colour"):
        task(channels=2)
