"""What happens on a GPU, as far as it can be seen without one: half precision, resident data; and layouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from rdsearch.base.device import arrange, channels_last
from rdsearch.tasks.data.augmentation import crop_and_flip
from rdsearch.tasks.evaluation import CPU_BATCH_SIZE, accuracy, suitable_batch
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit, LoaderSplit
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.training.stepper import Stepper, hold
from rdsearch.tasks.training.train import train
from tests.tasks.helpers import blobs, seeded_network

META = torch.device("meta")
"""A device that is not the CPU and computes shapes alone."""


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_steps_in_half_precision_leave_float32_weights_and_masks_that_hold(half: torch.dtype) -> None:
    network, config = seeded_network().train(), TrainingConfig(epochs=1, lr=0.02, weight_decay=0.01)
    mask = torch.arange(64).reshape(16, 4) % 3 > 0
    stepper = Stepper(network, config, 60, hold(network, {"0.weight": mask}), F.cross_entropy, torch.device("cpu"))
    stepper._half = half  # what a GPU sets
    inputs, labels = (torch.from_numpy(array) for array in blobs())
    losses = [float(stepper.step((inputs, labels))) for _ in range(60)]
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert losses[-1] < 0.3 * losses[0]
    weight = network.get_parameter("0.weight").detach()
    assert not weight[~mask].any()
    assert weight[mask].all()


def test_masks_come_to_lie_as_their_gradients_do() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 8, 8))
    weight = network.get_parameter("0.weight")
    held = hold(network, {"0.weight": torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5})
    stepper = Stepper(network.train(), TrainingConfig(), 9, held, F.cross_entropy, torch.device("cpu"))
    for _ in range(2):
        stepper.step((torch.randn(2, 3, 8, 8), torch.tensor([0, 1])))
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert weight.grad is not None
    assert stepper._held[0][1].stride() == weight.grad.stride()
    assert torch.equal(stepper._held[0][1], held[0][1])
    assert not weight[held[0][1] == 0].any()


def test_half_precision_learns_what_float32_learns() -> None:
    inputs, labels = (torch.from_numpy(array) for array in blobs())
    weights = []
    for half in (None, torch.bfloat16):
        network = seeded_network().train()
        stepper = Stepper(
            network, TrainingConfig(optimizer="sgd", lr=0.05), 20, [], F.cross_entropy, torch.device("cpu")
        )
        stepper._half = half
        for _ in range(20):
            stepper.step((inputs, labels))
        weights.append(network.get_parameter("0.weight").detach())
    assert not torch.equal(*weights)
    assert torch.allclose(*weights, atol=0.02)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten()), (3, 8)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()), (3, 8, 8)),
        (nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten()), (3, 8, 8, 8)),
    ],
    ids=["signals", "images", "volumes"],
)
def test_channels_last_changes_the_layout_of_image_convolutions_and_no_number(
    network: nn.Module, shape: tuple[int, ...]
) -> None:
    inputs = torch.randn(2, *shape)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.eval()
    output = network(inputs)
    channels_last(network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.allclose(network(inputs), output, atol=1e-5)
    for tensor in network.parameters():
        assert tensor.ndim != 4 or tensor.is_contiguous(memory_format=torch.channels_last)
    network.to(memory_format=torch.contiguous_format)
    assert all(tensor.is_contiguous() for tensor in network.state_dict().values())


class Viewing(nn.Module):
    """Views its activations as they lie in memory, as many networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.linear = nn.Linear(4 * 6 * 6, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.last_layout = self.conv.weight.is_contiguous()
        return self.linear(self.conv(inputs).view(len(inputs), -1))


class Reshaping(Viewing):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.last_layout = self.conv.weight.is_contiguous()
        return self.linear(self.conv(inputs).flatten(1))


def images() -> ArraySplit:
    generator = np.random.default_rng(0)
    labels = np.arange(64) % 2
    return ArraySplit((generator.normal(size=(64, 2, 8, 8)) + labels[:, None, None, None]).astype(np.float32), labels)


def test_a_network_that_views_its_activations_keeps_its_layout_and_others_run_channels_last() -> None:
    scores, weights = [], []
    for kind in (Viewing, Reshaping):
        torch.manual_seed(0)
        network = kind()
        train(network, images(), TrainingConfig(epochs=3, lr=0.01, batch_size=16), seed=1)
        assert network.last_layout is (kind is Viewing)
        scores.append(accuracy(network, images()))
        assert network.last_layout is (kind is Viewing)
        assert network.conv.weight.is_contiguous()
        assert network.training
        weights.append(network.conv.weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)
    assert scores[0] == scores[1] > 0.9


class Scoring(StepHook):
    """Scores the network after every epoch."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def epoch_done(self) -> bool:
        accuracy(self.network, images())
        return False


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_scoring_a_network_in_training_changes_nothing_of_it(optimizer: str) -> None:
    trained = []
    for scored in (False, True):
        torch.manual_seed(0)
        network = Reshaping()
        config = TrainingConfig(epochs=4, lr=0.01, batch_size=16, optimizer=optimizer)
        train(network, images(), config, seed=1, hooks=[Scoring(network)] if scored else [])
        trained.append(network.state_dict())
    assert all(torch.equal(tensor, trained[1][name]) for name, tensor in trained[0].items())


class Decoding(nn.Module):
    """Gives images, which a loss may view as they lie in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.last_layout = self.conv.weight.is_contiguous()
        return self.conv(inputs)


class ViewingInTraining(Viewing):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.last_layout = self.conv.weight.is_contiguous()
        output = self.conv(inputs)
        return self.linear(output.view(len(inputs), -1) if self.training else output.flatten(1))


@pytest.mark.parametrize("kind", [Decoding, ViewingInTraining])
def test_no_layout_is_taken_that_a_loss_or_another_mode_would_stumble_over(kind: type[nn.Module]) -> None:
    def loss(output: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return output.view(-1).square().mean()

    network = kind()
    train(network, images(), TrainingConfig(epochs=1, lr=0.01, batch_size=16), loss=loss)
    assert network.last_layout


def test_trying_a_layout_leaves_statistics_and_random_state_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    arrange(network, torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network.training


def test_small_data_is_moved_to_the_device_once_as_it_is_stored_and_prepared_there() -> None:
    images = np.zeros((20, 3, 32, 32), np.uint8)
    split = ArraySplit(images, np.arange(20) % 2, mean=0.5, std=0.2, augmentation=crop_and_flip)
    part = split.subset(np.arange(10))
    for one in (split, part):
        batches = list(one.batches(8, device=META, generator=np.random.default_rng(0), augment=True))
        assert {inputs.device.type for inputs, _ in batches} == {"meta"}
        assert {inputs.dtype for inputs, _ in batches} == {torch.float32}
        assert sum(len(targets) for _, targets in batches) == len(one)
    stored = split._arrays.resident(META)
    assert stored is not None
    assert stored[0].dtype == torch.uint8
    assert stored[0] is (part._arrays.resident(META) or stored)[0]


def test_released_data_is_moved_again_when_it_is_read() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), np.uint8)
    split = ArraySplit(images, np.arange(20) % 2, mean=0.5)
    task = Task(network=nn.Flatten(), train=split, validation=4)
    before = split._arrays.resident(META)
    list(task.validation.batches(2, device=META))
    task.release_data()
    assert not split._arrays._resident
    assert not split._arrays._maps
    assert (split._arrays.resident(META) or before) is not before


def test_data_that_would_fill_a_share_of_a_gpu_is_moved_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    split = ArraySplit(np.zeros((20, 3, 8, 8), np.uint8), np.arange(20) % 2)
    for memory, resident in ((4 * split._arrays.inputs.nbytes, True), (4 * split._arrays.inputs.nbytes - 4, False)):
        monkeypatch.setattr("rdsearch.tasks.splits.array.memory_of", lambda device, memory=memory: memory)
        assert (split._arrays.resident(META) is not None) == resident


def test_evaluation_takes_smaller_batches_in_a_small_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdsearch.tasks.evaluation.memory_of", lambda device: 2**30)
    split = ArraySplit(np.zeros((4, 3, 32, 32), np.uint8), np.zeros(4, np.int64))
    assert suitable_batch(split, META) == 2**19 // (3 * 32 * 32)


def test_large_data_is_moved_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdsearch.tasks.splits.array.RESIDENT_BYTES_MAX", 1000)
    split = ArraySplit(np.zeros((20, 3, 8, 8), np.uint8), np.arange(20) % 2)
    assert split._arrays.resident(META) is None
    assert [inputs.shape[0] for inputs, _ in split.batches(8, device=META)] == [8, 8, 4]


@pytest.mark.parametrize(("shape", "batch"), [((3, 32, 32), 1024), ((3, 224, 224), 111), ((3, 8000, 8000), 1)])
def test_evaluation_takes_smaller_batches_of_larger_inputs(shape: tuple[int, ...], batch: int) -> None:
    arrays = np.broadcast_to(np.zeros(1, np.uint8), (4, *shape))
    examples = ArraySplit(arrays, np.zeros(4, np.int64))
    lazy = LoaderSplit(TensorDataset(torch.zeros(1).expand(4, *shape), torch.zeros(4)))
    for split in (examples, lazy):
        assert suitable_batch(split, META) == batch
        assert suitable_batch(split, torch.device("cpu")) == CPU_BATCH_SIZE
