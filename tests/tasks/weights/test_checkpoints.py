from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from rdsearch.errors import TaskError
from rdsearch.tasks import Task
from rdsearch.tasks.networks.resnet_cifar import resnet20
from rdsearch.tasks.weights.checkpoints import load_checkpoint
from rdsearch.tasks.weights.state import load_state
from tests.tasks.helpers import TiedTransformer, blobs, seeded_network, small_network


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in seeded_network().state_dict().items()}


EMA = {name: torch.zeros_like(tensor) for name, tensor in prefixed("").items()}

CONTENTS: dict[str, Any] = {
    "bare": prefixed(""),
    "parallel": prefixed("module."),
    "compiled": prefixed("module._orig_mod."),
    "compiled parallel": prefixed("_orig_mod.module."),
    "twice": prefixed("module.module."),
    "lightning": {"state_dict": prefixed("model."), "epoch": 3, "hyper_parameters": {"lr": 0.1}},
    "deep": prefixed("learner.module.net._orig_mod."),
    "wrapped": {"state_dict": prefixed("module."), "epoch": 3, "best": 0.9},
    "beside an optimiser": {"model_state_dict": prefixed(""), "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "any key": {"student": prefixed("_orig_mod."), "iteration": torch.tensor(7)},
    "with an optimiser": (prefixed(""), {"lr": 0.1}),
    "two keys": {"checkpoint": {"net": prefixed("")}},
    "averages beside it": {"ema": EMA, "model": prefixed(""), "model_ema": EMA},
    "averages in it": prefixed("model.") | {f"ema_model.{name}": tensor for name, tensor in EMA.items()},
    "wrapped part": {name.replace("1.", "1.module."): tensor for name, tensor in prefixed("").items()},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("suffix", [".pt", ".th"])
def test_state_dicts_are_found_however_they_are_wrapped(tmp_path: Path, content: Any, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(content, path)
    state, _ = load_checkpoint(path, small_network())
    assert list(state) == list(small_network().state_dict())
    for name, tensor in seeded_network().state_dict().items():
        np.testing.assert_array_equal(state[name], tensor.numpy())


def test_the_network_may_have_a_prefix_that_the_file_lacks(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.ModuleDict({"net": small_network()})

    for content in (prefixed(""), prefixed("net."), prefixed("module.net."), prefixed("module.module.net.")):
        torch.save(content, tmp_path / "weights.pt")
        state, notes = load_checkpoint(tmp_path / "weights.pt", Own())
        assert list(state) == list(prefixed("module.net."))
        np.testing.assert_array_equal(state["module.net.3.bias"], content[list(content)[-1]].numpy())
        assert notes == []


EXTRAS: dict[str, dict[str, torch.Tensor]] = {
    "counters": {"total_ops": torch.zeros(1), "0.total_params": torch.zeros(1, dtype=torch.float64)},
    "a loss": {"criterion.weight": torch.ones(3), "loss.centres": torch.ones(3, 16)},
    "tables": {"0.position_ids": torch.arange(6)[None], "3.inv_freq": torch.ones(5)},
}


@pytest.mark.parametrize("extras", EXTRAS.values(), ids=EXTRAS)
def test_what_the_network_does_not_have_is_left_out_and_listed(tmp_path: Path, extras: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "weights.pt"
    torch.save(prefixed("") | extras, path)
    state, notes = load_checkpoint(path, small_network())
    np.testing.assert_array_equal(state["3.bias"], prefixed("")["3.bias"].numpy())
    assert notes == [f"checkpoint {path}: left out, as the network has no such tensors: {', '.join(extras)}"]
    assert Task(network=small_network, train=blobs(), checkpoint=path).notes == notes


@pytest.mark.parametrize("extra", ["0.gate.weight", "3.norm.bias", "4.weight"])
def test_weights_of_a_larger_network_are_not_left_out(tmp_path: Path, extra: str) -> None:
    torch.save(prefixed("model.") | {f"model.{extra}": torch.ones(16, 16)}, tmp_path / "larger.pt")
    with pytest.raises(TaskError, match=rf"another network: model\.{extra} unknown to the network"):
        load_checkpoint(tmp_path / "larger.pt", small_network())


def test_of_several_state_dicts_that_fit_the_usual_one_is_read_and_this_is_said(tmp_path: Path) -> None:
    torch.save({"ema": EMA, "state_dict": prefixed(""), "epoch": 1}, tmp_path / "weights.pt")
    state, notes = load_checkpoint(tmp_path / "weights.pt", small_network())
    assert state["0.weight"].any()
    assert len(notes) == 1
    assert notes[0].endswith("the weights under state_dict are read; those under ema would fit as well")


@pytest.mark.parametrize("kept", ["embedding.weight", "out.weight"])
def test_one_name_of_tied_weights_will_do(tmp_path: Path, kept: str) -> None:
    network = TiedTransformer()
    (dropped,) = {"embedding.weight", "out.weight"} - {kept}
    torch.save({k: v for k, v in network.state_dict().items() if k != dropped}, tmp_path / "weights.pt")
    state, notes = load_checkpoint(tmp_path / "weights.pt", TiedTransformer())
    np.testing.assert_array_equal(state[dropped], network.embedding.weight.detach().numpy())
    assert notes == []


def test_the_documented_line_writes_a_safetensors_file_of_a_tied_network(tmp_path: Path) -> None:
    network = TiedTransformer()
    save_model(network, str(tmp_path / "model.safetensors"))
    state, _ = load_checkpoint(tmp_path / "model.safetensors", TiedTransformer())
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(state[name], tensor.numpy())


def test_two_values_for_what_the_network_ties_are_refused(tmp_path: Path) -> None:
    weights = TiedTransformer().state_dict() | {"out.weight": torch.zeros(11, 8)}
    torch.save(weights, tmp_path / "untied.pt")
    with pytest.raises(TaskError, match=r"the network ties embedding\.weight and out\.weight, for which"):
        load_checkpoint(tmp_path / "untied.pt", TiedTransformer())


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "weights.safetensors")
    state, _ = load_checkpoint(tmp_path / "weights.safetensors", small_network())
    np.testing.assert_array_equal(state["3.bias"], seeded_network().get_parameter("3.bias").detach().numpy())


def sharded(folder: Path) -> Path:
    """A network's weights in two files, and their index."""
    first, second = {}, {}
    for number, (name, tensor) in enumerate(seeded_network().state_dict().items()):
        (second if number % 2 else first)[name] = tensor
    named = {}
    for file, part in (("model-1-of-2.safetensors", first), ("model-2-of-2.safetensors", second)):
        save_file(part, folder / file)
        named |= dict.fromkeys(part, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": named}))
    return index


def test_safetensors_in_several_files_are_read_by_their_index(tmp_path: Path) -> None:
    state, notes = load_checkpoint(sharded(tmp_path), small_network())
    assert not notes
    for name, tensor in seeded_network().state_dict().items():
        np.testing.assert_array_equal(state[name], tensor.numpy())


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("../model-1-of-2.safetensors", "its files have to lie beside it"),
        ("..", "its files have to lie beside it"),
        ("gone.safetensors", "gone.safetensors missing beside it: fetch all files"),
        ("model-2-of-2.safetensors", "not in the files that the index names"),
        (None, "is no index of safetensors files"),
    ],
)
def test_an_index_that_names_what_is_not_there_is_refused(tmp_path: Path, file: str | None, said: str) -> None:
    index = sharded(tmp_path)
    content = json.loads(index.read_text())
    moved = next(name for name, one in content["weight_map"].items() if one.startswith("model-1"))
    content["weight_map"][moved] = file
    index.write_text(json.dumps(content if file else {"weights": []}))
    with pytest.raises(TaskError, match=said):
        load_checkpoint(index, small_network())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_files_are_mapped_and_nobody_can_write_to_their_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr("rdsearch.tasks.weights.checkpoints.MAPPED", 1)
    save_file({name: tensor.to(dtype) for name, tensor in prefixed("").items()}, tmp_path / "weights.safetensors")
    state, _ = load_checkpoint(tmp_path / "weights.safetensors", small_network())
    network = small_network()
    load_state(network, state)
    with torch.no_grad():
        network[1].weight.zero_()
    for found in (state, pickle.loads(pickle.dumps(state))):  # noqa: S301
        for name, tensor in prefixed("").items():
            np.testing.assert_array_equal(found[name], tensor.to(dtype).float().numpy())
            assert found[name].dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        state["1.weight"][:] = 0


def test_old_files_may_lack_the_batch_counters(tmp_path: Path) -> None:
    tensors = prefixed("")
    del tensors["1.num_batches_tracked"]
    torch.save(tensors, tmp_path / "old.pt")
    state, _ = load_checkpoint(tmp_path / "old.pt", small_network())
    assert state["1.num_batches_tracked"] == 0


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


@pytest.mark.parametrize(
    "content", [{"epoch": 3, "lr": 0.1}, [1, 2], torch.zeros(3), {"optimizer": {"state": {0: torch.zeros(3)}}}]
)
def test_files_without_a_state_dict_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(TaskError, match="holds no state dict"):
        load_checkpoint(tmp_path / "other.pt", small_network())


def test_the_widely_used_resnet20_is_read(real_resnet20: Path) -> None:
    state, _ = load_checkpoint(real_resnet20, resnet20())
    network = resnet20()
    load_state(network, state)
    assert sum(parameter.numel() for parameter in network.parameters()) == 269_722
    assert float(network.get_parameter("linear.weight").detach().norm()) > 1.0
