from __future__ import annotations

from rdsearch.config.searchfile import check_search
from rdsearch.config.written import GROUPS_MAX, WIDTH, Layer, groups_text, layer_groups, search_text
from rdsearch.config.yamlfile import parse_yaml

TREE = {
    "task": {"network": "digits_cnn", "dataset": "digits", "train": {"epochs": 3, "lr": 1e-3}},
    "recipe": {
        "pruning": {
            "method": {"choice": ["lamp", "erk"]},
            "budgets": {"per_group": {"0": "0", "layer1": "layer1.*"}, "float": [0.5, 2.0], "log": True},
        },
        "quantization": {"method": "uniform", "step": {"float": [0.2, 1.0]}},
    },
    "search": {"constraints": {"accuracy_drop": 0.01}, "trials": 4},
    "resources": {"cpu": 1},
}


def linear(size: int) -> Layer:
    return Layer("Linear", (size, 1))


def test_layers_are_grouped_where_their_names_first_differ_and_further_where_one_group_holds_most() -> None:
    sizes = {
        "net.stem.weight": linear(10),
        "net.layer1.0.conv.weight": linear(100),
        "net.layer1.1.conv.weight": linear(100),
        "net.fc.weight": linear(100),
    }
    assert layer_groups(sizes) == {"net_stem": "net.stem", "net_layer1": "net.layer1.*", "net_fc": "net.fc"}
    sizes["net.fc.weight"] = linear(5)
    assert list(layer_groups(sizes)) == ["net_stem", "net_layer1_0", "net_layer1_1", "net_fc"]


def test_groups_of_numbered_layers_are_called_by_their_kind_and_described() -> None:
    layers = {
        "0.weight": Layer("Conv2d", (16, 1, 3, 3)),
        "2.weight": Layer("ConvTranspose1d", (4, 4, 3)),
        "3.in.weight": linear(100),
        "3.out.weight": linear(200),
        "10.weight": linear(300),
    }
    groups = layer_groups(layers)
    assert groups == {"conv_0": "0", "convtranspose_2": "2", "layers_3": "3.*", "linear_10": "10"}
    assert groups_text(groups, layers) == [
        "conv_0: Conv2d 16×1×3×3, 144 weights",
        "convtranspose_2: ConvTranspose1d 4×4×3, 48 weights",
        "layers_3: 2 layers, 300 weights",
        "linear_10: Linear 300×1, 300 weights",
    ]


def test_one_layer_has_no_groups() -> None:
    assert layer_groups({"fc.weight": linear(4)}) == {}
    assert layer_groups({"weight": linear(4)}) == {}
    assert layer_groups({}) == {}


def test_of_many_groups_the_largest_are_kept_in_order() -> None:
    sizes = {f"{index}.weight": linear(100 - index) for index in range(20)}
    assert list(layer_groups(sizes)) == [f"linear_{index}" for index in range(GROUPS_MAX)]


def test_the_text_is_the_tree_with_comments() -> None:
    text = search_text(TREE, ["what it is"], {"search.trials": "about a minute"})
    assert parse_yaml(text, "text") == TREE
    assert text.startswith("# what it is\n")
    assert "trials: 4  # about a minute" in text
    assert "# which weights go\n" in text
    assert "# which values the others take\n" in text
    check_search(parse_yaml(text, "text"), source="text", name="text")


def test_a_comment_that_makes_a_line_too_long_stands_above_it() -> None:
    text = search_text(TREE, [], {"search.trials": "long " * 30})
    assert "\n  # long long" in text
    above = search_text(TREE, [], {"search.trials": "one\ntwo"})
    assert "\n  # one\n  # two\n  trials: 4\n" in above
    assert max(len(line) for line in text.splitlines() if not line.strip().startswith("#")) <= WIDTH + 4
