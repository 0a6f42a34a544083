from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rdsearch.errors import TaskError
from rdsearch.tasks.checkpoints import load_checkpoint
from rdsearch.tasks.networks.resnet_cifar import resnet20
from rdsearch.tasks.state import load_state
from tests.tasks.helpers import seeded_network, small_network


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in seeded_network().state_dict().items()}


@pytest.mark.parametrize(
    "content",
    [
        prefixed(""),
        prefixed("module."),
        prefixed("module._orig_mod."),
        {"state_dict": prefixed("module."), "epoch": 3, "best": 0.9},
        {"model_state_dict": prefixed(""), "optimizer": {"lr": 0.1}},
        {"model": prefixed("_orig_mod.")},
    ],
    ids=["bare", "parallel", "compiled", "wrapped", "wrapped2", "wrapped3"],
)
@pytest.mark.parametrize("suffix", [".pt", ".th"])
def test_state_dicts_are_found_however_they_are_wrapped(tmp_path: Path, content: Any, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(content, path)
    state = load_checkpoint(path, small_network())
    assert list(state) == list(small_network().state_dict())
    for name, tensor in seeded_network().state_dict().items():
        np.testing.assert_array_equal(state[name], tensor.numpy())


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "weights.safetensors")
    state = load_checkpoint(tmp_path / "weights.safetensors", small_network())
    np.testing.assert_array_equal(state["3.bias"], seeded_network().get_parameter("3.bias").detach().numpy())


def test_old_files_may_lack_the_batch_counters(tmp_path: Path) -> None:
    tensors = prefixed("")
    del tensors["1.num_batches_tracked"]
    torch.save(tensors, tmp_path / "old.pt")
    assert load_checkpoint(tmp_path / "old.pt", small_network())["1.num_batches_tracked"] == 0


def test_pickled_modules_are_refused_without_running_their_code(tmp_path: Path) -> None:
    witness = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (witness,))

    torch.save(seeded_network(), tmp_path / "module.pt")
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pt")
    for name, code in (("module.pt", "torch.nn.modules.container.Sequential"), ("bomb.pt", "getattr")):
        with pytest.raises(TaskError, match=r"torch\.save\(model\.state_dict\(\), 'weights\.pt'\)") as error:
            load_checkpoint(tmp_path / name, small_network())
        assert f"holds more than weights, pickled code ({code}), which is not run here" in str(error.value)
    assert not witness.exists()


def test_another_network_s_weights_are_named(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(5, 16), nn.ReLU()).state_dict(), tmp_path / "other.pt")
    with pytest.raises(TaskError) as error:
        load_checkpoint(tmp_path / "other.pt", small_network())
    assert "1.weight, 1.bias, 1.running_mean, 1.running_var and 2 more missing" in str(error.value)
    assert "0.weight is (16, 5) instead of (16, 4)" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.pt", None, "is no file"),
        ("weights.onnx", b"x", "known are .safetensors"),
        ("empty.pt", b"", "damaged"),
        ("noise.pth", b"\x80\x02noise" * 20, "Save the weights alone"),
        ("noise.safetensors", b"\xff" * 100, "no readable safetensors"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=said):
        load_checkpoint(tmp_path / name, small_network())


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(prefixed(""), path)
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(TaskError):
            load_checkpoint(path, small_network())


@pytest.mark.parametrize("content", [{"epoch": 3, "lr": 0.1}, [1, 2], torch.zeros(3)])
def test_files_without_a_state_dict_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(TaskError, match="holds no state dict"):
        load_checkpoint(tmp_path / "other.pt", small_network())


def test_the_widely_used_resnet20_is_read(real_resnet20: Path) -> None:
    state = load_checkpoint(real_resnet20, resnet20())
    network = resnet20()
    load_state(network, state)
    assert sum(parameter.numel() for parameter in network.parameters()) == 269_722
    assert float(network.get_parameter("linear.weight").detach().norm()) > 1.0
