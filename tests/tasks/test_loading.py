from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from rdsearch.errors import TaskError
from rdsearch.tasks import load_task
from rdsearch.tasks.evaluation import accuracy
from rdsearch.tasks.networks.torchvision_models import published_accuracy
from rdsearch.tasks.settings import TaskConfig, TrainingConfig
from rdsearch.tasks.training.recipes import KNOWN_GOOD, training_for
from rdsearch.tasks.weights.state import load_state
from tests.tasks.helpers import seeded_network

OWN = """
import numpy as np
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import torch

def make_net(width=16):
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))

def points(count, seed):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return (3 * np.eye(3, 4)[labels] + 0.5 * generator.normal(size=(count, 4))).astype(np.float32), labels

def make_data(count=120):
    inputs, labels = points(40, 2)
    test = TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels))
    return {"train": points(count, 1), "test": DataLoader(test, batch_size=7)}

def with_validation():
    return {**make_data(), "validation": points(30, 3)}

def lazy_test():
    return {"train": points(60, 1), "test": lambda: points(20, 2)}

def beyond():
    inputs, labels = points(60, 1)
    return {"train": (inputs, labels + 1)}

def unlabelled():
    inputs, labels = points(60, 1)
    return {"train": (inputs, labels - 1)}

def empty():
    return {"train": points(0, 1)}

def wrong():
    return {"training": points(60, 1)}

def wrong_key():
    return {"train": points(60, 1), "dev": points(60, 1)}

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a user's module in the working directory."""
    name = f"own_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def config(**settings: Any) -> TaskConfig:
    return TaskConfig.model_validate(settings)


def test_digits_are_learnt_to_98_percent_in_seconds() -> None:
    task = load_task(config(network="digits_cnn", dataset="digits", validation=287))
    assert (len(task.train), len(task.validation), task.network_id) == (1150, 287, "digits_cnn")
    network = task.fresh_network()
    load_state(network, task.dense_state())
    assert accuracy(network, task.test_split()) >= 0.98
    assert task.score(network) >= 0.97


def test_mnist_is_loaded_with_the_network_s_name(real_mnist: Path) -> None:
    task = load_task(config(network="lenet300", dataset="mnist", root=real_mnist, validation=5000))
    assert (len(task.train), len(task.validation)) == (55_000, 5_000)
    assert (task.name, task.network_id) == ("lenet300-mnist", "lenet300")
    quick = load_task(
        config(network="lenet300", dataset="mnist", root=real_mnist, train={"epochs": 1, "lr": 2e-3, "batch_size": 256})
    )
    network = quick.fresh_network()
    load_state(network, quick.dense_state())
    assert quick.score(network) > 0.92


def test_own_network_data_and_checkpoint_in_five_lines(own: str, tmp_path: Path) -> None:
    torch.save(seeded_network().state_dict(), tmp_path / "model.pt")
    task = load_task(
        config(network=f"{own}:make_net", dataset=f"{own}:make_data", checkpoint=tmp_path / "model.pt", validation=30)
    )
    assert (len(task.train), len(task.validation), len(task.test_split())) == (90, 30, 40)
    assert task.network_id is None
    np.testing.assert_array_equal(
        task.dense_state()["0.weight"], seeded_network().get_parameter("0.weight").detach().numpy()
    )


def test_own_factories_get_their_options_and_without_a_checkpoint_the_network_is_trained(own: str) -> None:
    task = load_task(
        config(
            network=f"{own}:make_net",
            dataset=f"{own}:make_data",
            options={"network": {"width": 8}, "dataset": {"count": 200}},
            validation=0.25,
            train={"epochs": 5, "lr": 0.02, "batch_size": 16},
        )
    )
    assert len(task.train) == 150
    assert task.dense_state()["0.weight"].shape == (8, 4)
    network = task.fresh_network()
    load_state(network, task.dense_state())
    assert task.score(network) > 0.9


def test_own_validation_and_a_test_that_is_read_when_asked_for(own: str) -> None:
    task = load_task(config(network=f"{own}:make_net", dataset=f"{own}:with_validation"))
    assert (len(task.train), len(task.validation)) == (120, 30)
    with pytest.raises(TaskError, match="brings a validation split of its own"):
        load_task(config(network=f"{own}:make_net", dataset=f"{own}:with_validation", validation=10))
    assert len(load_task(config(network=f"{own}:make_net", dataset=f"{own}:lazy_test")).test_split()) == 20


def test_own_factories_are_imported_again_by_a_process_elsewhere(own: str, tmp_path: Path) -> None:
    task = load_task(config(network=f"{own}:make_net", dataset=f"{own}:make_data", train={"epochs": 0}))
    (tmp_path / "task.pickle").write_bytes(pickle.dumps(task.for_search()))
    code = (
        "import pickle, pathlib, sys;"
        "task = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "print(task.score(task.fresh_network()) >= 0)"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "task.pickle")]
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(command, cwd=elsewhere, env={"PYTHONPATH": root}, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network": "{own}:make_net", "dataset": "{own}:wrong"}, r"returned \['training'\]: a mapping with 'train'"),
        ({"network": "{own}:make_net", "dataset": "{own}:wrong_key"}, "unknown keys"),
        ({"network": "{own}:make_net", "dataset": "{own}:number"}, "is a int: a function is needed"),
        (
            {"network": "{own}:make_net", "dataset": "{own}:beyond"},
            "train: labels go from 1 to 3, the network has 3 outputs: allowed are 0 to 2",
        ),
        ({"network": "{own}:make_net", "dataset": "{own}:unlabelled"}, "labels go from -1 to 1"),
        ({"network": "{own}:make_net", "dataset": "{own}:empty"}, "train: an empty split: at least one example"),
        ({"network": "{own}:make_nett", "dataset": "{own}:make_data"}, "Did you mean 'make_net'"),
        ({"network": "no_such_module:make", "dataset": "{own}:make_data"}, "No module named 'no_such_module'"),
        (
            {"network": "{own}:make_net", "dataset": "{own}:make_data", "options": {"network": {"wdth": 3}}},
            r"make_net with options \{'wdth': 3\}.*Did you mean 'width'",
        ),
        (
            {"network": "lenet300", "dataset": "digits"},
            r"lenet300 and data digits: the network does not take its inputs, a batch of which is \(8, 1, 8, 8\)",
        ),
        (
            {"network": "digits_cnn", "dataset": "digits", "options": {"network": {"classes": 4}}},
            "labels go from 0 to 9, the network has 4 outputs",
        ),
        ({"network": "digits_cnn", "dataset": "digits", "options": {"dataset": {"fold": 4}}}, "unexpected keyword"),
        ({"network": "digits_cnn", "dataset": "digits", "validation": 1437}, "give a count from 1 to 1436"),
    ],
)
def test_tasks_that_cannot_be_made_are_refused(own: str, settings: dict[str, Any], said: str) -> None:
    filled = {key: value.format(own=own) if isinstance(value, str) else value for key, value in settings.items()}
    with pytest.raises(TaskError, match=said) as error:
        load_task(config(**filled))
    assert ("does not take its inputs" in str(error.value)) == ("does not take its inputs" in said)


def test_pairs_without_a_known_recipe_get_the_general_one() -> None:
    assert training_for("lenet300", "mnist") is KNOWN_GOOD["lenet300", "mnist"]
    assert training_for("lenet300", "digits") == TrainingConfig()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, torch.nn.Module], None]:
    """Puts weights where torchvision keeps those that it has downloaded, and a data set of small images beside them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 64, 64), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=np.arange(30) % 3)

    def publish(file: str, network: torch.nn.Module) -> None:
        folder = tmp_path / "torch" / "hub" / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), folder / file)

    return publish


def test_published_weights_are_the_dense_network_and_read_once(
    published: Callable[[str, torch.nn.Module], None], tmp_path: Path
) -> None:
    network = torchvision.models.squeezenet1_1()
    published("squeezenet1_1-b8a52dc0.pth", network)
    task = load_task(
        config(
            network="torchvision:squeezenet1_1",
            dataset=str(tmp_path / "images.npz"),
            options={"network": {"weights": "IMAGENET1K_V1"}},
        )
    )
    shutil.rmtree(tmp_path / "torch")
    assert task.network_id == "torchvision:squeezenet1_1"
    assert task.is_trained
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(task.dense_state()[name], tensor.numpy())
    received = pickle.loads(pickle.dumps(task.for_search()))  # noqa: S301
    assert not any(parameter.any() for parameter in received.fresh_network().parameters())


def test_a_network_whose_published_form_is_another_has_no_id(
    published: Callable[[str, torch.nn.Module], None], tmp_path: Path
) -> None:
    published("googlenet-1378be20.pth", torchvision.models.googlenet(init_weights=False))
    task = load_task(
        config(
            network="torchvision:googlenet",
            dataset=str(tmp_path / "images.npz"),
            options={"network": {"weights": "IMAGENET1K_V1"}},
        )
    )
    assert task.network_id is None
    assert not any("aux" in name for name in task.dense_state())


def test_torchvision_states_what_its_weights_reach_on_imagenet() -> None:
    assert published_accuracy("resnet50", "IMAGENET1K_V2") == pytest.approx(0.80858)
    assert published_accuracy("resnet50", "DEFAULT") == pytest.approx(0.80858)
    with pytest.raises(TaskError, match="has no weights 'V9': known are IMAGENET1K_V1"):
        published_accuracy("resnet50", "V9")
