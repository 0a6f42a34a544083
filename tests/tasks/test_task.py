from __future__ import annotations

import math
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

from rdsearch.errors import ConfigError, TaskError
from rdsearch.tasks import Task
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit, Batch
from rdsearch.tasks.training.train import Epoch, train
from rdsearch.tasks.weights.state import load_state
from tests.tasks.helpers import (
    TiedTransformer,
    blobs,
    counting_sequences,
    next_token_loss,
    seeded_network,
    small_network,
)

QUICK = TrainingConfig(epochs=3, lr=0.02, batch_size=32)


def perplexity(network: nn.Module, batches: Iterable[Batch]) -> float:
    losses = [float(next_token_loss(network(tokens), following)) for tokens, following in batches]
    return math.exp(float(np.mean(losses)))


def read_test() -> tuple[np.ndarray, np.ndarray]:
    return blobs(60, seed=9)


def forbidden() -> Any:
    raise AssertionError("the test split was read")


def make(**changes: Any) -> Task:
    return Task(**{"network": small_network, "train": blobs(), "test": read_test, "training": QUICK, **changes})


def filled(task: Task) -> nn.Module:
    network = task.fresh_network()
    load_state(network, task.dense_state())
    return network


def test_a_trained_module_is_the_dense_network_and_stays_as_it_was() -> None:
    network = seeded_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    task = make(network=network)
    for name, array in task.dense_state().items():
        np.testing.assert_array_equal(array, before[name].numpy())
        assert torch.equal(network.state_dict()[name], before[name])
    assert task.score(filled(task)) == task.score(network)


@pytest.mark.parametrize("network", [seeded_network(), seeded_network], ids=["module", "factory"])
def test_fresh_networks_are_independent_and_hold_none_of_the_weights(network: Any) -> None:
    task = make(network=network)
    one, other = task.fresh_network(), task.fresh_network()
    assert not any(tensor.any() for tensor in one.state_dict().values() if tensor.is_floating_point())
    with torch.no_grad():
        one.get_parameter("0.weight").fill_(1.0)
    assert not other.get_parameter("0.weight").any()
    assert not one.training


def test_tied_weights_stay_tied_and_constant_buffers_stay() -> None:
    sequences = counting_sequences()
    task = Task(network=TiedTransformer(), train=sequences, evaluate=perplexity, direction="minimize")
    network = filled(task)
    assert network.get_parameter("out.weight") is network.get_parameter("embedding.weight")
    assert torch.equal(network.get_buffer("causal"), TiedTransformer().get_buffer("causal"))


def test_any_score_and_loss_will_do() -> None:
    task = Task(
        network=TiedTransformer,
        train=counting_sequences(),
        evaluate=perplexity,
        loss=next_token_loss,
        direction="minimize",
        training=TrainingConfig(epochs=30, lr=0.02, batch_size=16),
    )
    assert not task.is_accuracy
    trained = task.score(filled(task))
    assert task.score(TiedTransformer()) < -3.0 < trained


def test_the_baseline_is_trained_once_and_then_read_back() -> None:
    reports: list[Epoch] = []
    first = make().dense_state(reports.append)
    assert len(reports) == 3
    again = make().dense_state(reports.append)
    assert len(reports) == 3
    assert list(first) == list(again)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert first[name].dtype == again[name].dtype
    assert make().score(filled(make())) > 0.9


def test_validation_may_be_cut_by_count_or_share_or_given() -> None:
    assert (len(make().validation), len(make(validation=60).validation)) == (24, 60)
    assert len(make(validation=0.5).validation) == 120
    own = make(validation=blobs(30, seed=4))
    assert (len(own.train), len(own.validation)) == (240, 30)
    assert make(seed=1).validation.fingerprint != make(seed=2).validation.fingerprint


def test_numbers_of_numpy_are_numbers() -> None:
    task = make(validation=np.int64(60), seed=np.int64(3))
    assert task.validation.fingerprint == make(validation=60, seed=3).validation.fingerprint
    assert len(make(validation=np.float32(0.5)).validation) == 120


def test_trials_are_scored_on_a_subset_and_everything_else_on_the_whole_part() -> None:
    task = make(network=seeded_network(), validation=60, validation_subset=0.5)
    whole, seen = make(network=seeded_network(), validation=60), task.on_subset()
    assert (len(task.validation), len(seen.validation)) == (60, 30)
    assert task.validation.fingerprint == whole.validation.fingerprint
    assert task.dense_score == whole.dense_score
    assert seen.dense_score == task.score(seeded_network(), split=seen.validation) != task.dense_score
    assert "on 30 examples" in seen.score_text(seen.dense_score)
    assert whole.on_subset() is whole
    assert (task.has_subset, seen.has_subset, whole.has_subset) == (True, False, False)
    assert (
        len(
            {
                task.fingerprint,
                whole.fingerprint,
                make(network=seeded_network(), validation=60, validation_subset=20).fingerprint,
            }
        )
        == 3
    )


def test_a_subset_travels_without_the_way_to_the_test_split() -> None:
    sent = make(network=seeded_network(), validation_subset=12).on_subset().for_search()
    received = pickle.loads(pickle.dumps(sent))  # noqa: S301
    assert received.score(seeded_network()) == sent.score(seeded_network())
    assert len(received.validation) == 12
    with pytest.raises(TaskError, match="never sees"):
        received.test_split()


@pytest.mark.parametrize("kind", ["pair", "tensors", "dataset", "loader", "function"])
def test_the_test_split_may_be_anything_that_holds_examples(kind: str) -> None:
    pair = read_test()
    tensors = tuple(torch.from_numpy(array) for array in pair)
    dataset = TensorDataset(*tensors)
    given: Any = {"pair": pair, "tensors": tensors, "dataset": dataset, "loader": DataLoader(dataset)}.get(
        kind, read_test
    )
    assert len(make(test=given).test_split()) == 60


def test_a_copy_for_a_search_never_reads_the_test_split() -> None:
    copied = make(test=forbidden).for_search()
    copied.score(filled(copied))
    assert copied.fingerprint
    assert not copied.has_test
    with pytest.raises(TaskError, match="never sees the test split"):
        copied.test_split()


def test_a_copy_for_a_search_travels_without_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    marker = np.full((60, 4), 1234.5, dtype=np.float32)
    task = make(test=(marker, np.zeros(60, np.int64)))
    assert marker.tobytes() in pickle.dumps(task)
    sent = pickle.dumps(task.for_search())
    assert marker.tobytes() not in sent
    received = pickle.loads(sent)  # noqa: S301
    monkeypatch.setattr("rdsearch.tasks.training.baseline.train", forbidden)
    assert received.fingerprint == task.fingerprint
    assert received.score(filled(received)) == task.score(filled(task))
    with pytest.raises(TaskError, match="never sees"):
        received.test_split()
    assert len(task.test_split()) == 60


def test_a_trained_module_travels_once_not_twice() -> None:
    network = nn.Linear(1000, 100)
    data = (np.zeros((20, 1000), np.uint8), np.zeros(20, np.int64))
    assert len(pickle.dumps(Task(network=network, train=data).for_search())) < 1.2 * 4 * 1000 * 100


def test_the_fingerprint_covers_weights_data_split_and_score() -> None:
    inputs, labels = blobs()
    tasks = [
        make(),
        make(),
        make(network=seeded_network(1)),
        make(network=seeded_network(2)),
        make(seed=3, network=seeded_network(1)),
        make(train=(inputs + 1, labels), network=seeded_network(1)),
        make(evaluate=perplexity, network=seeded_network(1)),
    ]
    prints = [task.fingerprint for task in tasks]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 6


def test_scores_are_the_same_every_time_and_can_be_those_of_another_part() -> None:
    task = make()
    network = filled(task).train()
    assert task.score(network) == task.score(network)
    assert network.training
    assert 0.8 < task.score(network, split=task.test_split()) <= 1.0


def test_the_dense_score_is_that_of_the_dense_network_and_measured_once() -> None:
    scored = []

    def evaluate(network: nn.Module, batches: Iterable[Batch]) -> float:
        scored.append(network)
        return float(network.get_parameter("0.weight").detach().sum())

    task = make(network=seeded_network(), evaluate=evaluate, direction="minimize")
    assert not scored
    assert task.dense_score == task.dense_score == -float(seeded_network().get_parameter("0.weight").detach().sum())
    assert len(scored) == 1


def test_dense_arrays_are_read_only_float32() -> None:
    state = make(network=seeded_network().to(torch.bfloat16)).dense_state()
    assert {array.dtype.name for array in state.values()} == {"float32", "int64"}
    with pytest.raises(ValueError, match="read-only"):
        state["0.weight"][0] = 0


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("factory", [True, False])
def test_networks_of_any_precision_are_trained_and_scored_in_float32(precision: torch.dtype, factory: bool) -> None:
    def network() -> nn.Module:
        return seeded_network(3).to(precision)

    task = make(network=network if factory else network(), training=TrainingConfig(epochs=0))
    assert {parameter.dtype for parameter in task.fresh_network().parameters()} == {torch.float32}
    assert {tensor.dtype for tensor in filled(task).state_dict().values()} == {torch.float32, torch.int64}
    assert 0 <= task.score(filled(task)) <= 1
    train(filled(task), task.train, QUICK)


def test_a_float64_data_set_reaches_the_network_as_float32() -> None:
    inputs, labels = (torch.from_numpy(array) for array in blobs())
    dataset = ConcatDataset([TensorDataset(inputs.double(), labels)])
    task = make(train=dataset)
    assert next(iter(task.train.batches(4)))[0].dtype == torch.float32
    assert task.score(filled(task)) > 0.9


def test_a_checkpoint_of_the_user_is_the_dense_network(tmp_path: Path) -> None:
    network = seeded_network()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    task = make(checkpoint=tmp_path / "weights.pt")
    np.testing.assert_array_equal(task.dense_state()["0.weight"], network.get_parameter("0.weight").detach().numpy())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"direction": "up"}, "maximize"),
        ({"network": 3}, "network is a int"),
        ({"network": lambda: 3}, "returned a int"),
        ({"network": small_network(), "checkpoint": "x.pt"}, "both a trained network and a checkpoint"),
        ({"train": ArraySplit(*blobs()), "validation": 240}, "give a count from 1 to 239"),
        ({"validation": True}, "validation = True: give a count from 1 to 239"),
        ({"validation_subset": 24}, "validation_subset = 24 takes 24 of 24 examples"),
        ({"seed": -1}, "seed = -1: give a whole number from 0"),
        ({"seed": 0.5}, "seed = 0.5: give a whole number"),
        ({"seed": True}, "seed = True: give a whole number"),
        ({"evaluate": "accuracy"}, "evaluate = 'accuracy': give a function, or 'kl'"),
        ({"loss": 3}, "loss is a int: give a function"),
        ({"evaluate": lambda network: 1.0}, "evaluate is called with the network and its batches: too many"),
        ({"network": nn.Linear}, "network is called without arguments: missing a required argument: 'in_features'"),
        ({"checkpoint": 3}, "checkpoint is a int: give a str or Path"),
        ({"training": 5}, "training is a int: give a mapping such as"),
        ({"name": None}, "name is a NoneType"),
        ({"expected_accuracy": 98}, "expected_accuracy = 98: give a share of 1"),
        ({"train": (3, 4)}, "train: inputs and targets are single numbers"),
        ({"train": "mnist"}, "train is a str"),
        ({"test": None}, "no test split"),
    ],
)
def test_tasks_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    def use() -> None:
        task = make(**changes)
        task.fresh_network()
        task.test_split()

    with pytest.raises(TaskError, match=said):
        use()


def test_training_may_be_a_mapping_whose_mistakes_are_all_listed() -> None:
    assert make(training={"epochs": 3, "lr": 0.01}).training == TrainingConfig(epochs=3, lr=0.01)
    with pytest.raises(ConfigError) as caught:
        make(training={"epoch": 3, "lr": -1})
    assert caught.value.problems == [
        "training.lr: -1 must be greater than 0",
        "training.epoch: unknown key. Did you mean 'epochs'? Allowed here are epochs, lr, batch_size, optimizer, "
        "weight_decay, momentum, schedule.",
    ]
