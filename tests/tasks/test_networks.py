from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from rdsearch.errors import TaskError, UnknownNameError
from rdsearch.tasks import NETWORKS
from rdsearch.tasks.networks.identity import RegisteredNetwork, build_network
from rdsearch.tasks.networks.resnet_cifar import resnet20

GREY_DIGITS, GREY, COLOUR = (1, 8, 8), (1, 28, 28), (3, 32, 32)

EXPECTED = {
    "digits_cnn": (31_770, GREY_DIGITS),
    "lenet300": (266_610, GREY),
    "lenet5_caffe": (431_080, GREY),
    "resnet20": (269_722, COLOUR),
    "resnet32": (464_154, COLOUR),
    "resnet44": (658_586, COLOUR),
    "resnet56": (853_018, COLOUR),
    "resnet110": (1_727_962, COLOUR),
    "vgg16": (14_724_042, COLOUR),
    "resnet18": (11_173_962, COLOUR),
    "densenet121": (6_956_426, COLOUR),
    "efficientnet_b0": (4_020_358, COLOUR),
}


def test_every_registered_network_is_listed_here() -> None:
    assert set(NETWORKS) == set(EXPECTED)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_parameter_counts_and_shapes(name: str) -> None:
    parameters, shape = EXPECTED[name]
    network = build_network(name).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    with torch.inference_mode():
        assert network(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_the_number_of_classes_is_an_option_and_part_of_the_id(name: str) -> None:
    assert RegisteredNetwork(name, {"classes": 10}).id == name
    network_id = RegisteredNetwork(name, {"classes": 7}).id
    assert network_id == f"{name}?classes=7"
    with torch.device("meta"):
        assert list(build_network(network_id).parameters())[-1].shape[0] == 7


def test_torchvision_networks_have_an_id_without_their_weights() -> None:
    network = RegisteredNetwork("torchvision:resnet18", {"weights": "IMAGENET1K_V1", "num_classes": None})
    assert network.id == "torchvision:resnet18"
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build_network(network.id).parameters()) == 11_689_512


def test_option_a_shortcuts_have_no_weights_and_pass_every_second_pixel() -> None:
    network = resnet20().eval()
    assert not any("shortcut" in name for name, _ in network.named_parameters())
    block = network.get_submodule("layer2.0")
    for name in ("bn1.weight", "bn2.weight"):
        torch.nn.init.zeros_(block.get_parameter(name))
    inputs = torch.rand(2, 16, 8, 8)
    with torch.inference_mode():
        outputs = block(inputs)
    assert torch.equal(outputs[:, 8:24], inputs[:, :, ::2, ::2])
    assert not outputs[:, :8].any()
    assert not outputs[:, 24:].any()


@pytest.mark.parametrize(
    ("network_id", "said"),
    [
        ("lenet30", "Did you mean 'lenet300'"),
        ("lenet300?classes", "option=value"),
        ("lenet300?clases=7", "it takes classes.*Did you mean 'classes'"),
        ("torchvision:resnet81", "did you mean resnet18"),
        ('torchvision:resnet18?weights="DEFAULT"', "weights says how a network starts, not which one it is"),
    ],
)
def test_ids_that_name_nothing_are_refused(network_id: str, said: str) -> None:
    with pytest.raises((TaskError, UnknownNameError), match=said):
        build_network(network_id)


def test_weights_that_were_never_published_are_refused_with_those_that_were() -> None:
    with pytest.raises(TaskError, match="has no weights 'V9': known are IMAGENET1K_V1"):
        RegisteredNetwork("torchvision:resnet18", {"weights": "V9"})()


def test_the_documentation_has_the_same_counts() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) × (\d+) × (\d+) \| ([\d ]+) \|", text, re.M)
    documented = {name: (int(parameters.replace(" ", "")), tuple(map(int, shape))) for name, *shape, parameters in rows}
    assert documented == EXPECTED
