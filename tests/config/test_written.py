from __future__ import annotations

from rdsearch.config.searchfile import check_search
from rdsearch.config.written import GROUPS_MAX, WIDTH, layer_groups, search_text
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


def test_layers_are_grouped_where_their_names_first_differ_and_further_where_one_group_holds_most() -> None:
    sizes = {
        "net.stem.weight": 10,
        "net.layer1.0.conv.weight": 100,
        "net.layer1.1.conv.weight": 100,
        "net.fc.weight": 100,
    }
    assert layer_groups(sizes) == {"net_stem": "net.stem", "net_layer1": "net.layer1.*", "net_fc": "net.fc"}
    sizes["net.fc.weight"] = 5
    assert list(layer_groups(sizes)) == ["net_stem", "net_layer1_0", "net_layer1_1", "net_fc"]
    assert layer_groups({"0.weight": 4, "2.weight": 4}) == {"0": "0", "2": "2"}


def test_one_layer_has_no_groups() -> None:
    assert layer_groups({"fc.weight": 4}) == {}
    assert layer_groups({"weight": 4}) == {}
    assert layer_groups({}) == {}


def test_of_many_groups_the_largest_are_kept_in_order() -> None:
    sizes = {f"{index}.weight": 100 - index for index in range(20)}
    assert list(layer_groups(sizes)) == [str(index) for index in range(GROUPS_MAX)]


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
    assert max(len(line) for line in text.splitlines() if not line.strip().startswith("#")) <= WIDTH + 4
