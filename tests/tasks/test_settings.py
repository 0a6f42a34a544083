from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from rdsearch.tasks import DATASETS, NETWORKS
from rdsearch.tasks.settings import TaskConfig, TrainingConfig


@pytest.mark.parametrize("network", [*NETWORKS, "torchvision:resnet50", "my_package.nets:make_net"])
@pytest.mark.parametrize("dataset", ["digits", "my_package.data:make_data", "./images", "data/x", "x.parquet", "x.npz"])
def test_names_import_paths_and_files_are_accepted(network: str, dataset: str) -> None:
    config = TaskConfig(network=network, dataset=dataset)
    assert (config.network, config.dataset) == (network, dataset)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": "lenet30"}, "unknown network 'lenet30'. Did you mean 'lenet300'.* Known are .*torchvision:NAME"),
        ({"dataset": "minst"}, "unknown data set 'minst'. Did you mean 'mnist'"),
        ({"network": "my package:net"}, "unknown network"),
        ({"validation": 0}, "0 must be a count of examples .* or a share of them"),
        ({"validation": 1.0}, "share of them above 0 and below 1"),
        ({"validation": -0.1}, "-0.1 must be a count of examples .* or a share of them"),
        ({"validation_subset": 0}, "0 must be a count of examples"),
        ({"validation_subset": True}, "must be a number"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"netwrok": "lenet300"}, "Extra inputs"),
        ({"options": {"net": {}}}, "Extra inputs"),
        ({"train": {"lr": 0}}, "greater than 0"),
        ({"train": {"optimizer": "rmsprop"}}, "'adamw', 'adam' or 'sgd'"),
    ],
)
def test_mistakes_are_found(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TaskConfig.model_validate({"network": "lenet300", "dataset": "mnist", **changes})


def test_settings_come_back_from_their_own_dump() -> None:
    config = TaskConfig(network="lenet300", dataset="mnist", validation=5000, train=TrainingConfig(epochs=3))
    assert TaskConfig.model_validate(config.model_dump(mode="json")) == config
    assert isinstance(TaskConfig.model_validate({**config.model_dump(), "validation": 0.5}).validation, float)


def test_checking_a_file_imports_neither_torch_nor_a_data_library() -> None:
    code = (
        "import sys; from rdsearch.tasks.settings import TaskConfig; TaskConfig(network='lenet300', dataset='mnist');"
        "print(sorted({'torch', 'torchvision', 'sklearn', 'pyarrow', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_registered_name_stands_for_something() -> None:
    assert all(callable(registry.load(name)) for registry in (NETWORKS, DATASETS) for name in registry)
