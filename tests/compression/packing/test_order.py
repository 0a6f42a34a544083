from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from rdsearch.coding.layout import Entry, Layout
from rdsearch.coding.networkfile import NetworkFile, encode_file
from rdsearch.coding.stream import in_order
from rdsearch.compression.layout import layout_of
from rdsearch.compression.loading import decode, load
from rdsearch.compression.packing.order import cheapest_order, lexicographic
from rdsearch.compression.packing.pack import pack
from rdsearch.compression.packing.quantize import Decoded, quantize
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.pruning.prune import prune
from rdsearch.report.fileinfo import file_info
from rdsearch.tasks.networks.identity import build_network

FINE = QuantizationRecipe(step=0.5, bias_bits=8, reestimate_batchnorm=False)


def pruned(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(name).eval()
    weights = {key: weight for key, weight in network.named_parameters() if weight.dim() > 1}
    masks = prune(weights, None, sum(weight.numel() for weight in weights.values()) // 8, method="global")
    with torch.no_grad():
        for key, mask in masks.items():
            weights[key].mul_(mask)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias)
                nn.init.normal_(layer.running_mean)  # type: ignore[arg-type]
    return network


INPUTS = {"lenet5_caffe": (1, 28, 28), "digits_cnn": (1, 8, 8), "resnet20": (3, 32, 32)}


@pytest.mark.parametrize("name", INPUTS)
def test_files_in_order_are_smaller_and_decode_to_the_same_function(name: str) -> None:
    network, inputs = pruned(name), torch.randn(16, *INPUTS[name])
    before = copy.deepcopy(network.state_dict())
    plain = pack(network, lambda: build_network(name), FINE, [], network_id=name)
    ordered = pack(network, lambda: build_network(name), FINE, [inputs], network_id=name)
    assert len(ordered) < {"resnet20": 1.0}.get(name, 0.995) * len(plain)
    outputs = [load(data, into=build_network(name)).eval()(inputs) for data in (plain, ordered)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    file = decode(ordered)
    assert len(file.ordered) == {"lenet5_caffe": 3, "digits_cnn": 4, "resnet20": 9}[name]
    assert all(in_order(file.weights[key][0]) for key in file.ordered)
    assert not decode(plain).ordered


def test_every_quality_layer_of_a_file_in_order_follows_it() -> None:
    network, inputs = pruned("digits_cnn"), torch.randn(64, 1, 8, 8)
    settings = QuantizationRecipe(step=0.1, bias_bits=10, quality_layers=2)
    layered = pack(network, lambda: build_network("digits_cnn"), settings, [inputs], network_id="digits_cnn")
    plain = settings.model_copy(update={"quality_layers": 1})
    whole = pack(network, lambda: build_network("digits_cnn"), plain, [inputs], network_id="digits_cnn")
    for name, (levels, _) in decode(whole).weights.items():
        np.testing.assert_array_equal(decode(layered).weights[name][0], levels)


class Weird(nn.Module):
    """Hides what it does with its hidden units from whoever watches the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        with torch._C.DisableTorchFunction():
            hidden.mul_(torch.arange(6.0))
        out: Tensor = self.second(hidden)
        return out


def test_an_order_that_changes_the_outputs_is_not_taken() -> None:
    torch.manual_seed(0)
    network, inputs = Weird(), torch.randn(4, 5)
    names = [entry.name for entry in layout_of(network).of("weight")]
    decoded = quantize(network, names, Weird, QuantizationRecipe(step=0.05, bias_bits=8), [inputs])
    assert cheapest_order(decoded, inputs).sorted_weights == []


def test_a_network_that_cannot_be_run_is_left_as_it_is() -> None:
    network = nn.Linear(4, 4)
    assert cheapest_order(Decoded(network, {}), torch.randn(2, 9)).permutations == ()


class Twins(nn.Module):
    """Two layers that share their weight and not their bias, added up."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(9, 16), nn.Linear(9, 16)
        self.second.weight = self.first.weight
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(torch.relu(self.first(x)) + torch.relu(self.second(2 * x)))
        return out


def test_a_tied_weight_is_sorted_once_and_both_its_layers_follow() -> None:
    torch.manual_seed(0)
    network, inputs = Twins().eval(), torch.randn(16, 9)
    plain, ordered = pack(network, Twins, FINE, []), pack(network, Twins, FINE, [inputs])
    outputs = [load(data, into=Twins()).eval()(inputs) for data in (plain, ordered)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    assert decode(ordered).ordered == ["first.weight"]
    state = load(ordered)
    assert torch.equal(state["first.weight"], state["second.weight"])
    assert not torch.equal(state["first.weight"], load(plain)["first.weight"])


class Tagger(nn.Module):
    """Attention over what a recurrent layer says."""

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.LSTM(12, 32, batch_first=True)
        self.between = nn.Linear(32, 32)
        self.attention = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)
        self.fc = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.attention(self.between(self.core(x)[0]))).mean(1)
        return out


def test_units_of_recurrent_layers_and_heads_are_sorted_and_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, inputs = Tagger().eval(), torch.randn(16, 7, 12)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.mul_(torch.rand(len(weight), 1) ** 4)
                weight.mul_(weight.abs() > weight.abs().quantile(0.8))
    plain = pack(network, Tagger, FINE, [])
    ordered = pack(network, Tagger, FINE, [inputs])
    outputs = [load(data, into=Tagger()).eval()(inputs) for data in (plain, ordered)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    assert len(ordered) < 0.995 * len(plain)
    file = decode(ordered)
    assert file.sorted_in_parts == ["core.weight_ih_l0", "attention.self_attn.in_proj_weight"]
    assert file.ordered == ["between.weight", "attention.linear1.weight"]
    (tmp_path / "file.rdz").write_bytes(ordered)
    console = Console(width=200)
    with console.capture() as said:
        console.print(file_info(tmp_path / "file.rdz"))
    assert "heads or units of core.weight_ih_l0, attention.self_attn.in_proj_weight" in said.get()


def test_rows_that_are_in_no_order_are_not_coded_as_if_they_were() -> None:
    levels = np.array([[1, 2], [3, 4], [0, 9]], np.int32)
    network = NetworkFile(Layout((Entry("weight", "w", (3, 2)),)), {"w": (levels, 0.5)}, {}, ordered=["w"])
    file = decode(encode_file(network))
    np.testing.assert_array_equal(file.weights["w"][0], levels)
    assert not file.ordered


def test_rows_descend_lexicographically_and_dead_ones_come_last() -> None:
    rows = np.array([[0, 0], [1, -9], [1, 7], [-2, 0], [0, 3]])
    assert lexicographic(rows).tolist() == [3, 1, 2, 4, 0]
    assert in_order(rows[lexicographic(rows)].astype(np.int32))
    assert not in_order(rows.astype(np.int32))
