from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rdsearch
from rdsearch.errors import FileFormatError, TaskError
from rdsearch.tasks import Task
from tests.tasks.helpers import blobs, seeded_network, small_network

RECIPE = {"pruning": {"rounds": 1, "rate": 0.3}, "retrain": {"epochs": 1}}


class ExtraState(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"seen": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


def sparse() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.register_buffer("mask", torch.eye(3).to_sparse())
    return layer


def quantized() -> nn.Module:
    layer = torch.ao.nn.quantized.dynamic.Linear(4, 3)
    return nn.Sequential(layer)


CANNOT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "lazy": (
        lambda: nn.LazyLinear(3),
        "weight has no values yet, its layer is lazy: run the network on a batch",
    ),
    "meta": (lambda: nn.Linear(4, 3, device="meta"), "weight lies on the meta device and has no values"),
    "traced": (
        lambda: nn.Sequential(torch.jit.trace(nn.Linear(4, 3), torch.zeros(1, 4))),
        r"its part '0' \(TopLevelTracedModule\) is scripted or traced",
    ),
    "quantized": (quantized, r"its part '0' \(Linear\) is quantised already: give the float network"),
    "extra state": (lambda: ExtraState(4, 3), r"\(ExtraState\) keeps state beside its tensors \(get_extra_state\)"),
    "sparse": (sparse, "mask has the layout torch.sparse_coo"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("given", ["module", "factory"])
@pytest.mark.parametrize(("make", "said"), CANNOT.values(), ids=CANNOT)
def test_networks_that_no_file_of_tensors_can_hold_are_refused(
    make: Callable[[], nn.Module], said: str, given: str
) -> None:
    def use() -> None:
        Task(network=make() if given == "module" else make, train=blobs()).fresh_network()

    with pytest.raises(TaskError, match=said):
        use()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", [kind for kind in CANNOT if kind != "meta"])
def test_a_file_is_not_put_into_such_networks_either(kind: str) -> None:
    make, said = CANNOT[kind]
    (point,) = rdsearch.compress(Task(network=nn.Linear(4, 3), train=blobs()), RECIPE)
    with pytest.raises(FileFormatError, match=f"the file cannot be put into this network: .*{said}"):
        rdsearch.load(point.data, into=make())


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_a_distributed_network_is_compressed_without_its_wrapper() -> None:
    network = nn.parallel.DistributedDataParallel(seeded_network())
    task = Task(network=network, train=blobs())
    assert list(task.dense_state()) == list(small_network().state_dict())
    assert pickle.loads(pickle.dumps(task)).dense_state().keys() == small_network().state_dict().keys()  # noqa: S301


def compiled(network: nn.Module) -> nn.Module:
    made: nn.Module = torch.compile(network, backend="eager")
    return made


def around_a_part(network: nn.Module) -> nn.Module:
    return nn.Sequential(nn.DataParallel(network))


@pytest.mark.parametrize("wrap", [nn.DataParallel, compiled, around_a_part])
@pytest.mark.parametrize("given", ["module", "factory"])
def test_wrapped_networks_go_in_and_files_go_into_wrapped_ones(
    wrap: Callable[[nn.Module], nn.Module], given: str
) -> None:
    network = wrap(seeded_network())
    task = Task(
        network=network if given == "module" else lambda: wrap(seeded_network()), train=blobs(), training={"epochs": 0}
    )
    (point,) = rdsearch.compress(task, RECIPE)
    names = [f"0.{name}" if wrap is around_a_part else name for name in small_network().state_dict()]
    assert list(rdsearch.load(point.data)) == names
    filled = rdsearch.load(point.data, into=wrap(small_network()))
    assert task.score(filled) == point.val_accuracy
    inner = nn.Sequential(small_network()) if wrap is around_a_part else small_network()
    assert task.score(rdsearch.load(point.data, into=inner)) == point.val_accuracy
