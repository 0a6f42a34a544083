from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from rdsearch.compression.calibration import training_inputs
from rdsearch.compression.checkpoint import Checkpoint
from rdsearch.compression.loading import decode, load
from rdsearch.compression.measure import Baseline, measure_baseline
from rdsearch.compression.rounds import compress, rounds
from rdsearch.config.recipe import Recipe
from rdsearch.errors import ConfigError, RdsearchError, TaskError, TrialError
from rdsearch.points.point import OperatingPoint
from rdsearch.quantization import METHODS as QUANTIZERS
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.task import Task
from tests.tasks.helpers import (
    FORMS,
    AnyForm,
    TiedTransformer,
    blobs,
    counting_sequences,
    next_token_loss,
    seeded_network,
)

RECIPE = {
    "pruning": {"rounds": 3, "rate": 0.4},
    "retrain": {"epochs": 0.5, "lr": 2e-3},
    "quantization": {"method": "uniform", "step": 0.3, "calibration": 128},
}


def recipe(**sections: dict[str, Any]) -> Recipe:
    return Recipe.model_validate({name: {**part, **sections.get(name, {})} for name, part in RECIPE.items()})


@pytest.fixture(scope="module")
def baseline(digits_task: Task) -> Baseline:
    return measure_baseline(digits_task)


@pytest.fixture(scope="module")
def trial(digits_task: Task, baseline: Baseline) -> list[tuple[OperatingPoint, Checkpoint]]:
    """Every round of one trial, and where it stood after each."""
    torch.set_num_threads(1)
    return list(rounds(digits_task, recipe(), seed=5, device="cpu", baseline=baseline))


def blob_task(**changes: Any) -> Task:
    return Task(**{"network": seeded_network(), "train": blobs(), "validation": 60, **changes})


def test_the_baseline_is_the_dense_float_network(digits_task: Task, baseline: Baseline) -> None:
    assert 0.9 < baseline.accuracy <= 1.0
    # 31 770 parameters and the running statistics of 96 channels.
    assert baseline.size_bytes == 4 * (31_770 + 2 * 96)


def test_every_round_is_an_operating_point_whose_figures_are_those_of_its_file(
    digits_task: Task, baseline: Baseline, trial: list[tuple[OperatingPoint, Checkpoint]]
) -> None:
    prunable = 31_770 - 2 * 96 - 64 - 10
    assert [point.round for point, _ in trial] == [1, 2, 3]
    for point, _ in trial:
        assert point.data is not None
        state = load(point.data)
        assert point.size_bytes == len(point.data)
        assert point.compression_ratio == baseline.size_bytes / point.size_bytes
        assert point.rate_bits_per_weight == pytest.approx(8 * point.size_bytes / prunable)
        weights = [value for name, value in state.items() if value.dim() > 1]
        assert sum(weight.numel() for weight in weights) == prunable
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        assert point.sparsity == pytest.approx(zeros / prunable)
        network = load(point.data, into=digits_task.fresh_network())
        assert point.val_accuracy == digits_task.score(network)
        assert point.accuracy_drop == baseline.accuracy - point.val_accuracy
        assert point.seconds > 0
        assert point.parameters == recipe().flat()
        assert decode(point.data).network_id == "digits_cnn"
        assert decode(point.data).recipe is None


def test_rounds_grow_sparser_and_files_smaller_and_the_network_still_works(
    trial: list[tuple[OperatingPoint, Checkpoint]], baseline: Baseline
) -> None:
    sparsities = [point.sparsity for point, _ in trial]
    assert sparsities == sorted(sparsities)
    assert all(sparsity >= 1 - 0.6**number - 1e-4 for number, sparsity in enumerate(sparsities, 1))
    sizes = [point.size_bytes for point, _ in trial]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < baseline.size_bytes / 5
    assert trial[0][0].accuracy_drop < 0.1


def test_masks_are_nested_exact_in_number_and_hold_the_weights_at_zero(
    trial: list[tuple[OperatingPoint, Checkpoint]],
) -> None:
    total = sum(mask.size for mask in trial[0][1].masks.values())
    for number, (_, after) in enumerate(trial, 1):
        assert sum(int(mask.sum()) for mask in after.masks.values()) == math.floor(total * 0.6**number + 0.5)
        for name, mask in after.masks.items():
            assert not after.state[name][~mask].any()
    for (_, before), (_, after) in pairwise(trial):
        assert all((mask <= before.masks[name]).all() for name, mask in after.masks.items())


@pytest.mark.parametrize("done", [1, 2])
def test_going_on_after_a_checkpoint_gives_the_very_bytes_of_the_uninterrupted_trial(
    digits_task: Task, baseline: Baseline, trial: list[tuple[OperatingPoint, Checkpoint]], done: int
) -> None:
    after = Checkpoint.from_bytes(trial[done - 1][1].to_bytes(), done)
    rest = list(rounds(digits_task, recipe(), seed=5, device="cpu", baseline=baseline, after=after))
    assert [point.data for point, _ in rest] == [point.data for point, _ in trial[done:]]
    assert [point.val_accuracy for point, _ in rest] == [point.val_accuracy for point, _ in trial[done:]]
    assert [point.round for point, _ in rest] == list(range(done + 1, 4))


def test_nothing_is_left_to_do_after_the_last_checkpoint(
    digits_task: Task, baseline: Baseline, trial: list[tuple[OperatingPoint, Checkpoint]]
) -> None:
    assert list(rounds(digits_task, recipe(), seed=5, baseline=baseline, after=trial[-1][1])) == []


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    digits_task: Task, baseline: Baseline, trial: list[tuple[OperatingPoint, Checkpoint]]
) -> None:
    torch.rand(3)  # the caller's random state is no part of a trial
    short = recipe(pruning={"rounds": 1})
    first, again, other = (
        next(iter(compress(digits_task, short, seed=seed, device="cpu", baseline=baseline))).data for seed in (5, 5, 6)
    )
    assert first == again == trial[0][0].data
    assert first != other


def test_a_checkpoint_comes_back_as_it_was(trial: list[tuple[OperatingPoint, Checkpoint]]) -> None:
    _, after = trial[1]
    found = Checkpoint.from_bytes(after.to_bytes(), 2)
    assert found.round == 2
    assert set(found.state) == set(after.state)
    assert set(found.masks) == set(after.masks)
    for name, array in after.state.items():
        assert found.state[name].dtype == array.dtype
        np.testing.assert_array_equal(found.state[name], array)
    for name, mask in after.masks.items():
        assert found.masks[name].dtype == bool
        np.testing.assert_array_equal(found.masks[name], mask)
    masks = sum(mask.size for mask in after.masks.values())
    states = sum(array.nbytes for array in after.state.values())
    assert len(after.to_bytes()) < states + masks / 8 + 4000


def test_a_checkpoint_is_no_view_of_the_network_that_trains_on() -> None:
    (_, first), (_, second) = rounds(blob_task(), recipe(pruning={"rounds": 2}), device="cpu")
    assert any((first.state[name] != second.state[name]).any() for name in first.masks)


class Deep(nn.Module):
    """Layers whose names sort otherwise than they come, and a tied weight that is a root's parameter as well."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(12)))
        self.last = nn.Linear(4, 3)
        self.again = self.layers[3].weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(F.linear(F.relu(self.layers(x)), self.again)))


def test_an_own_network_with_many_layers_and_tied_weights_is_compressed_and_resumed() -> None:
    torch.manual_seed(0)
    task = blob_task(network=Deep())
    whole = list(rounds(task, recipe(), device="cpu", seed=1))
    for _ in range(3):  # safetensors hands tensors out in another order every time
        after = Checkpoint.from_bytes(whole[0][1].to_bytes(), 1)
        rest = list(rounds(task, recipe(), device="cpu", seed=1, after=after))
        assert [point.data for point, _ in rest] == [point.data for point, _ in whole[1:]]
    assert decode(whole[0][0].data or b"").network_id is None


def test_a_transformer_with_tied_weights_is_compressed_by_a_score_of_which_less_is_better() -> None:
    def perplexity(network: nn.Module, batches: Any) -> float:
        losses = [float(next_token_loss(network(tokens), following)) for tokens, following in batches]
        return math.exp(float(np.mean(losses)))

    task = Task(
        network=TiedTransformer,
        train=counting_sequences(),
        evaluate=perplexity,
        direction="minimize",
        loss=next_token_loss,
        training=TrainingConfig(epochs=30, lr=0.02, batch_size=16),
    )
    baseline = measure_baseline(task)
    assert -3 < baseline.accuracy < -1
    fine = recipe(pruning={"rounds": 4}, retrain={"epochs": 1}, quantization={"step": 0.1, "bias_bits": 12})
    points = list(compress(task, fine, device="cpu", baseline=baseline))
    assert len(points) == 4
    for point in points:
        network = load(point.data or b"", into=task.fresh_network())
        assert isinstance(network, TiedTransformer)
        assert network.out.weight is network.embedding.weight
        assert torch.equal(network.causal, TiedTransformer().causal)
        with torch.inference_mode():
            assert point.val_accuracy == -perplexity(network, task.validation.batches(64))
        assert point.accuracy_drop == baseline.accuracy - point.val_accuracy
        zeros = sum(int((weight == 0).sum()) for weight in network.parameters() if weight.dim() > 1)
        assert point.sparsity == pytest.approx(zeros / 600)
    assert [point.size_bytes for point in points] == sorted((point.size_bytes for point in points), reverse=True)
    assert points[-1].accuracy_drop > 0


class Noisy(nn.Module):
    """Draws at random in evaluation mode as well."""

    def __init__(self) -> None:
        super().__init__()
        self.body = seeded_network()

    def forward(self, values: Tensor) -> Tensor:
        return self.body(values + 0.3 * torch.randn_like(values))


def test_a_network_that_draws_at_random_gives_the_same_trial_each_time_and_after_an_interruption() -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        task = blob_task(network=Noisy())
        found.append([point for point, _ in rounds(task, recipe(), device="cpu", seed=3)])
        (_, after) = next(rounds(task, recipe(), device="cpu", seed=3))
        found.append([found[-1][0], *(point for point, _ in rounds(task, recipe(), device="cpu", seed=3, after=after))])
    for points in found[1:]:
        assert [point.data for point in points] == [point.data for point in found[0]]
        assert [point.val_accuracy for point in points] == [point.val_accuracy for point in found[0]]


class Points(Dataset[tuple[Any, int]]):
    """`blobs` in one of the `FORMS`."""

    def __init__(self, form: str, examples: int = 240, seed: int = 0) -> None:
        self.form, (self.inputs, self.labels) = FORMS[form], blobs(examples, seed=seed)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.form(torch.from_numpy(self.inputs[index])), int(self.labels[index])


@pytest.mark.parametrize(
    "quantization",
    [{}, {"method": "hessian"}, {"method": "sequential", "quality_layers": 2}],
    ids=["default", "hessian", "layers"],
)
@pytest.mark.parametrize("form", FORMS)
def test_inputs_in_any_form_give_the_very_file_of_a_tensor(form: str, quantization: dict[str, Any]) -> None:
    settings = {
        "pruning": {"rounds": 1, "rate": 0.3, "method": "rd_prune"},
        "retrain": {"epochs": 10, "lr": 0.02},
        "quantization": quantization,
    }

    def compressed(form: str, by_keyword: bool) -> OperatingPoint:
        task = Task(network=AnyForm(by_keyword), train=Points(form), validation=Points(form, 60, seed=1))
        (point,) = compress(task, settings, device="cpu")
        return point

    expected, found = compressed("tensor", False), compressed(form, True)
    assert found.data == expected.data
    assert found.val_accuracy == expected.val_accuracy > 0.8


class Stream(IterableDataset[tuple[Any, int]]):
    def __init__(self, form: str = "tensor") -> None:
        self.points = Points(form)

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        return (self.points[index] for index in range(len(self)))


@pytest.mark.parametrize("form", FORMS)
def test_batch_normalisation_is_matched_on_training_data_that_can_only_be_iterated(form: str) -> None:
    train = DataLoader(Stream(form), batch_size=40)
    task = Task(network=AnyForm(), train=train, validation=Points(form, 60, seed=1))
    settings = {"retrain": {"epochs": 5, "lr": 0.02}, "quantization": {"method": "uniform", "calibration": 100}}
    *_, last = compress(
        task, {"pruning": {"rounds": 2, "rate": 0.5, "method": "rd_prune", "calibration": 50}, **settings}, device="cpu"
    )
    assert last.val_accuracy > 0.8


@pytest.mark.parametrize(("count", "taken"), [(30, 30), (40, 40), (100, 100), (1000, 240)])
def test_calibration_takes_the_first_inputs_of_data_that_can_only_be_iterated(count: int, taken: int) -> None:
    task = Task(network=AnyForm(), train=DataLoader(Stream("mapping"), batch_size=40), validation=Points("mapping"))
    inputs = training_inputs(task, count, 3, torch.device("cpu"))
    assert torch.equal(torch.cat(list(inputs.values()), dim=1), torch.from_numpy(blobs(240)[0][:taken]))


class Growing(Stream):
    """Examples whose length is another in every batch of 40."""

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        return ((torch.zeros(1 + index // 40), 0) for index in range(len(self)))


def test_batches_that_do_not_fit_together_are_a_clear_error() -> None:
    task = Task(network=AnyForm(), train=DataLoader(Growing(), batch_size=40), validation=Points("tensor"))
    assert len(training_inputs(task, 40, 0, torch.device("cpu"))) == 40
    with pytest.raises(TaskError, match="give every example the same shape, or larger batches"):
        training_inputs(task, 41, 0, torch.device("cpu"))


def test_training_data_that_can_only_be_iterated_will_do() -> None:
    task = blob_task(train=DataLoader(Stream(), batch_size=40), validation=blobs(60, seed=1))
    settings = {
        "retrain": {"epochs": 5, "lr": 0.02},
        "quantization": {"method": "uniform", "reestimate_batchnorm": False},
    }
    *_, last = compress(task, {"pruning": {"rounds": 2, "rate": 0.5}, **settings}, device="cpu")
    assert last.val_accuracy > 0.8


def test_what_no_output_depends_on_is_not_in_the_file() -> None:
    """At a tenth of 16 × 4 and 3 × 16 weights most hidden units are read by nobody."""
    ((point, checkpoint),) = rounds(blob_task(), recipe(pruning={"rounds": 1, "rate": 0.9}), device="cpu")
    unread = ~checkpoint.state["3.weight"].any(0)
    assert 8 < unread.sum() < 16
    file = decode(point.data).state_dict()
    # The file has the hidden units in an order of its own.
    gone = ~file["3.weight"].any(0)
    assert gone.sum() == unread.sum()
    assert checkpoint.state["1.weight"][unread].any()
    assert not file["1.weight"][gone].any()
    assert file["1.weight"][~gone].any()


def test_the_test_split_is_never_read() -> None:
    def read() -> object:
        raise AssertionError("the test split was read")

    task = blob_task(test=read)
    points = list(compress(task, recipe(pruning={"rounds": 2}), device="cpu"))
    assert len(points) == 2
    with pytest.raises(AssertionError, match="was read"):
        task.test_split()


def test_the_validation_part_is_not_trained_on() -> None:
    inputs, labels = blobs()
    poisoned = inputs[:60] * np.nan
    task = blob_task(
        train=(inputs[60:], labels[60:]), validation=(poisoned, labels[:60]), evaluate=lambda network, batches: 0.5
    )
    (point,) = compress(task, recipe(pruning={"rounds": 1}), device="cpu")
    assert all(torch.isfinite(value).all() for value in load(point.data or b"").values())


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_ends_the_trial(score: float) -> None:
    task = blob_task(evaluate=lambda network, batches: score)
    with pytest.raises(TrialError, match=f"scores {score} on the validation part; the score must be a number"):
        list(compress(task, recipe(), baseline=Baseline(0.9, 1000), device="cpu"))


def test_a_wrong_recipe_is_explained_and_a_right_mapping_taken() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.pruning\.rounds: 0 must be at least 1"):
        list(compress(blob_task(), {"pruning": {"rounds": 0}}))
    assert len(list(compress(blob_task(), {"pruning": {"rounds": 2}}, device="cpu"))) == 2


@pytest.mark.parametrize(
    ("arguments", "changes", "said"),
    [
        ((blob_task, None), {}, "null must be a mapping of keys to values"),
        ((blob_task, "recipe.yaml"), {}, "'recipe.yaml' must be a mapping"),
        ((lambda: "digits", {}), {}, "task is a str: give a rdsearch.Task"),
        ((blob_task, {}), {"seed": -1}, "seed = -1: give a whole number"),
        ((blob_task, {}), {"device": "gpu"}, "device = 'gpu' cannot be used here"),
    ],
)
def test_what_cannot_be_compressed_is_a_clear_error(arguments: Any, changes: dict[str, Any], said: str) -> None:
    make_task, settings = arguments
    with pytest.raises(RdsearchError, match=said):
        list(compress(make_task(), settings, **changes))


def test_the_recipe_travels_in_the_file_when_asked_for() -> None:
    made = recipe(pruning={"rounds": 2})
    plain, embedded = (list(compress(blob_task(), made, device="cpu", embed_recipe=embed)) for embed in (False, True))
    assert [decode(point.data or b"").recipe for point in embedded] == [made.cut(1).as_dict(), made.as_dict()]
    assert all(len(b.data or b"") > len(a.data or b"") for a, b in zip(plain, embedded, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 3)),
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)),
        lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
        lambda: nn.Sequential(nn.Linear(4, 4), nn.PReLU(), nn.Linear(4, 3, bias=False)),
    ],
    ids=["no affine part", "no statistics", "layer norm", "prelu"],
)
def test_networks_with_other_layers_are_compressed(make: Callable[[], nn.Module]) -> None:
    task = blob_task(network=make())
    fine = recipe(
        pruning={"rounds": 1, "rate": 0.01}, retrain={"epochs": 0}, quantization={"step": 0.01, "bias_bits": 16}
    )
    (point,) = compress(task, fine, device="cpu")
    assert point.accuracy_drop == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("method", QUANTIZERS)
def test_every_quantization_method_runs_in_a_trial_and_repeats(method: str) -> None:
    made = recipe(pruning={"rounds": 2}, quantization={"method": method})
    first, again = ([point.data for point in compress(blob_task(), made, device="cpu", seed=2)] for _ in range(2))
    assert first == again
    assert decode(first[1] or b"").weights


@pytest.mark.parametrize(
    "pruning",
    [
        {"method": "rd_prune", "calibration": 20},
        {"method": "surp", "surp": {"update": "paper", "beta": 3.0}},
        {"method": "lamp", "profile": {"depth": 1.0, "first": 3.0}},
    ],
    ids=["rd_prune", "surp", "profile"],
)
def test_pruning_options_change_the_survivors_and_a_resumed_trial_is_the_same(pruning: dict[str, Any]) -> None:
    made = recipe(pruning={"rounds": 2, **pruning})
    plain = recipe(pruning={"rounds": 2, "method": "erk" if pruning["method"] == "rd_prune" else pruning["method"]})
    task = blob_task()
    (first, after), (second, _) = rounds(task, made, device="cpu", seed=2)
    (resumed, _) = next(rounds(task, made, device="cpu", seed=2, after=Checkpoint.from_bytes(after.to_bytes(), 1)))
    assert resumed.data == second.data
    (other, _) = next(rounds(task, plain, device="cpu", seed=2))
    assert other.data != first.data
