from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.training.baseline import baseline_state
from rdsearch.tasks.training.train import Epoch, train
from tests.tasks.helpers import seeded_network

LONG = TrainingConfig(epochs=5, lr=0.02, batch_size=32, weight_decay=0.01)


class Interrupted(Exception):
    pass


def interrupt_after(number: int) -> object:
    def progress(epoch: Epoch) -> None:
        if epoch.number == number:
            raise Interrupted

    return progress


def network_with_dropout() -> nn.Module:
    return nn.Sequential(*seeded_network().children(), nn.Dropout(0.3))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.usefixtures("every_epoch")
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path, split: ArraySplit, optimizer: str) -> None:
    config = LONG.model_copy(update={"optimizer": optimizer})
    masks = {"0.weight": torch.arange(64).reshape(16, 4) % 3 > 0}
    straight = network_with_dropout()
    train(straight, split, config, masks=masks)
    file = tmp_path / "state"
    with pytest.raises(Interrupted):
        train(network_with_dropout(), split, config, masks=masks, progress=interrupt_after(3), resume=file)  # type: ignore[arg-type]
    seen: list[Epoch] = []
    resumed = network_with_dropout()
    train(resumed, split, config, masks=masks, progress=seen.append, resume=file)
    assert [epoch.number for epoch in seen] == [4, 5]
    for one, other in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.fixture
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdsearch.tasks.training.interruption.SAVE_SECONDS", 0.0)


@pytest.mark.usefixtures("every_epoch")
def test_a_baseline_goes_on_and_leaves_only_itself(cache: Path, split: ArraySplit) -> None:
    with pytest.raises(Interrupted):
        baseline_state("net", seeded_network, split, LONG, device="cpu", progress=interrupt_after(2))  # type: ignore[arg-type]
    assert [file.suffix for file in (cache / "baselines").iterdir()] == [".unfinished"]
    seen: list[Epoch] = []
    state = baseline_state("net", seeded_network, split, LONG, device="cpu", progress=seen.append)
    assert [epoch.number for epoch in seen] == [3, 4, 5]
    assert [file.suffix for file in (cache / "baselines").iterdir()] == [".safetensors"]
    network = seeded_network()
    train(network, split, LONG)
    np.testing.assert_array_equal(state["0.weight"], network.get_parameter("0.weight").detach().numpy())


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("content", [b"", b"noise", None])
def test_a_damaged_state_starts_from_the_beginning(tmp_path: Path, split: ArraySplit, content: bytes | None) -> None:
    file = tmp_path / "state"
    if content is None:
        torch.save({"epoch": 3}, file)
    else:
        file.write_bytes(content)
    seen: list[Epoch] = []
    train(seeded_network(), split, LONG, progress=seen.append, resume=file)
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4, 5]


def test_a_state_that_fits_only_in_part_leaves_nothing_behind(tmp_path: Path, split: ArraySplit) -> None:
    file, straight, restarted = tmp_path / "state", seeded_network(), seeded_network()
    train(straight, split, LONG)
    torch.save({"epoch": 3, "stepper": {"network": seeded_network(9).state_dict()}}, file)
    train(restarted, split, LONG, resume=file)
    for one, other in zip(straight.state_dict().values(), restarted.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_short_training_writes_nothing(tmp_path: Path, split: ArraySplit) -> None:
    train(seeded_network(), split, LONG, resume=tmp_path / "state")
    assert not list(tmp_path.glob("state*"))
