"""`rdsearch init` for each kind of network and data, and `search --dry-run` of what it wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from rdsearch.config.searchfile import SearchFile, load_search_file
from tests.commands import Run


@pytest.fixture
def begun(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return run


def begin(run: Run, *words: str) -> tuple[SearchFile, str, str]:
    """The file that `init` wrote, what it said and warned of; a search of the file is looked at, not run."""
    status, out, err = run("init", *words, "--trials", "3")
    assert status == 0, err
    assert "search.yaml: about " in out
    status, ahead, told = run("search", "search.yaml", "--dry-run")
    assert status == 0, told
    for said in ("starting Ray: about", "3 trials of up to", "an hour", "disk: about", "for 3 trials here"):
        assert said in ahead
    return load_search_file("search.yaml"), out, err


def photos(folder: Path, count: int = 360, pixels: tuple[int, int] = (12, 10)) -> None:
    """Grey photos of two classes."""
    generator = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("train" if number % 10 else "test") / ("dark", "light")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        image = generator.integers(0, 100, (pixels[1], pixels[0]), dtype=np.uint8) + 100 * (number % 2)
        Image.fromarray(image.astype(np.uint8)).save(place / f"{number}.png")


def test_a_registered_pair(begun: Run) -> None:
    file, out, _ = begin(begun, "digits_cnn", "digits")
    assert "inputs: (1, 8, 8) an example, pixels from 0 to 255 divided by 255" in out
    assert file.tree["recipe"]["quantization"]["training"]["target_bytes"] == {"int": [130, 13_000], "log": True}
    assert file.search.constraints == {"accuracy_drop": 0.05}


def test_rounds_of_pruning_with_a_budget_for_each_group(begun: Run) -> None:
    file, _, _ = begin(begun, "digits_cnn", "digits", "--rounds")
    assert file.tree["recipe"]["pruning"]["budgets"]["per_group"]["conv1"] == "conv1.*"
    assert file.tree["recipe"]["pruning"]["rounds"] == 6


def test_functions_of_ones_own_and_few_photos(begun: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "photos", 420, pixels=(6, 6))
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\ndef make(width=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(36, width), nn.ReLU(), nn.Linear(width, 2))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    file, out, _ = begin(begun, "nets:make", "./photos")
    assert file.task is not None
    assert file.task.validation == 0.3
    assert "113 validation examples" in out
    assert "# cut from the training split; a tenth would be too few" in (tmp_path / "search.yaml").read_text()


def test_published_weights_from_the_cache_of_torchvision_and_their_own_way_with_images(
    begun: Run, tmp_path: Path
) -> None:
    kept = tmp_path / "torch" / "hub" / "checkpoints"
    kept.mkdir(parents=True)
    network = torchvision.models.squeezenet1_1()
    torch.nn.init.zeros_(network.classifier[1].bias)
    torch.save(network.state_dict(), kept / "squeezenet1_1-b8a52dc0.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (400, 3, 32, 32), dtype=np.uint8)
    with torch.no_grad():
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        inputs = (torch.from_numpy(pixels) / 255 - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)
        labels = network.eval()(inputs).argmax(dim=1).numpy()
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=labels)
    weights = ("--set", "task.options.network.weights=IMAGENET1K_V1", "--set", "task.validation=0.3")
    status, out, err = begun("init", "torchvision:squeezenet1_1", "data.npz", *weights)
    assert status == 0, err
    # Its own labels, which it only gives with its own mean and deviation.
    assert "dense network: validation accuracy 1.0000" in out
    assert "the dense network is trained already" in out
    assert "if it has seen them" in err


def test_a_folder_of_hugging_face_and_photos_of_any_size(begun: Run, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    transformers.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path / "vit")
    photos(tmp_path / "photos", 1200)
    file, out, _ = begin(begun, "./vit", "./photos", "--set", "task.train.epochs=2", "--rounds")
    assert "inputs: (3, 8, 8) an example, stretched to 8 x 8 pixels (bilinear), pixels from 0 to 255 divided" in out
    assert "vit_layers_0" in file.tree["recipe"]["pruning"]["budgets"]["per_group"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("vit", "./photos"), "'vit' is no registered network but a folder here: give './vit'"),
        (("nets", "digits"), "'nets' is no registered network but a module here: give its function, as nets:FUNCTION"),
        (("digits_cnn", "nets"), "'nets' is no registered data set but a module here: give its function, as nets:"),
        (("digits_cnn", "vit"), "'vit' is no registered data set but a path here: give './vit'"),
        (("digits_cnn", "./vit"), "vit holds no folder 'train' with one folder of images for each class"),
        (("./vit", "digits"), "is no network: a folder that save_pretrained has written"),
        (("digits_cnn", "./nothing"), "no data at"),
        (("torchvision:resnet81", "digits"), "did you mean resnet18"),
        (("nowhere:network", "digits"), "nowhere"),
    ],
)
def test_a_wrong_name_is_told_with_the_way_out(begun: Run, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "vit").mkdir()
    (tmp_path / "nets.py").touch()
    status, _, err = begun("init", *words)
    assert status == 2
    assert said in err
    assert not (tmp_path / "search.yaml").exists()
