import pytest
import torch
from torch import nn

from rdsearch.errors import PruningError
from rdsearch.pruning.weights import nothing_to_prune, prunable_weights


def test_convolutions_linear_layers_embeddings_and_attention_projections_are_prunable_in_order():
    network = nn.ModuleDict(
        {
            "embed": nn.Embedding(7, 8),
            "conv": nn.Conv1d(8, 4, 3),
            "norm": nn.BatchNorm1d(4),
            "up": nn.ConvTranspose2d(4, 2, 2),
            "attention": nn.MultiheadAttention(8, 2),
            "cross": nn.MultiheadAttention(8, 2, kdim=5, vdim=6),
            "out": nn.Linear(8, 3),
        }
    )
    weights = prunable_weights(network)
    assert list(weights) == [
        "embed.weight",
        "conv.weight",
        "up.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "cross.q_proj_weight",
        "cross.k_proj_weight",
        "cross.v_proj_weight",
        "cross.out_proj.weight",
        "out.weight",
    ]
    assert all(weights[name] is network.get_parameter(name) for name in weights)


def test_a_single_layer_is_a_network():
    assert list(prunable_weights(nn.Linear(2, 2))) == ["weight"]


def test_tied_weights_appear_once_and_are_skipped_by_either_name():
    network = nn.ModuleDict({"embed": nn.Embedding(5, 4), "hidden": nn.Linear(4, 4), "head": nn.Linear(4, 5)})
    network["head"].weight = network["embed"].weight
    assert list(prunable_weights(network)) == ["embed.weight", "hidden.weight"]
    assert list(prunable_weights(network, skip=["head"])) == ["hidden.weight"]


@pytest.mark.parametrize("pattern", ["0", "0.weight", "[0]*"])
def test_skip_takes_the_names_of_layers_and_of_weights(pattern):
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert list(prunable_weights(network, skip=[pattern])) == ["1.weight"]


def test_a_skip_pattern_that_matches_nothing_lists_the_layers():
    with pytest.raises(PruningError, match=r"'conv\*' matches no layer.*0\.weight, 1\.weight"):
        prunable_weights(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), skip=["conv*"])


def test_skipping_everything_leaves_nothing_to_prune():
    network = nn.Sequential(nn.Linear(2, 2))
    assert prunable_weights(network, skip=["*"]) == {}
    assert "leaves nothing to prune" in nothing_to_prune(network, ["*"])


def test_a_network_without_weights_names_what_it_has():
    network = nn.Sequential(nn.LayerNorm(2), nn.ReLU())
    assert prunable_weights(network) == {}
    assert "in its modules (LayerNorm, ReLU)" in nothing_to_prune(network)


@pytest.mark.parametrize("layer", [nn.LSTM(2, 3, proj_size=2), nn.GRU(2, 3, bidirectional=True), nn.RNNCell(2, 3)])
def test_every_weight_of_a_recurrent_layer_is_prunable_and_no_bias(layer):
    wanted = [name for name, _ in layer.named_parameters() if name.startswith("weight")]
    assert list(prunable_weights(layer)) == wanted


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named_and_counted(bad):
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    with torch.no_grad():
        network[1].weight[0, :] = bad
    with pytest.raises(PruningError, match=r"1\.weight \(2 of 4\)"):
        prunable_weights(network)


def test_lazy_layers_are_refused_by_name():
    with pytest.raises(PruningError, match=r"0\.weight has no values yet"):
        prunable_weights(nn.Sequential(nn.LazyLinear(3)))
