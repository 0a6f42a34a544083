from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from rdsearch.config.defaults import Kind, completed, leaves_quantizer_open, rounds_space, usual_space
from rdsearch.config.searchfile import check_search

KIND = Kind(accuracy=True, trains=True, calibrates=True, parameters=30_000, examples=1_300, smallest_file=20)


@pytest.mark.parametrize(("trains", "calibrates"), list(product([True, False], repeat=2)))
def test_the_usual_space_is_one_to_search_in(trains: bool, calibrates: bool) -> None:
    kind = replace(KIND, trains=trains, calibrates=calibrates)
    tree, chosen = completed({}, kind)
    file = check_search(tree, source="s", name="s", own_task=True)
    assert (file.trials, file.space.recipes) == (60, None)
    assert tree["recipe"] == usual_space(kind)
    assert file.tree["recipe"]["quantization"]["method"] == ("sequential" if calibrates else "uniform")
    assert chosen == [
        f"recipe: the usual space, {'training for the file' if trains else 'rounds of pruning without retraining'}",
        "search.constraints: accuracy_drop 0.05",
    ]


@pytest.mark.parametrize(
    ("changes", "sizes", "passes"),
    [
        ({}, [120, 12_000], 40),
        ({"examples": 54_000, "parameters": 266_610}, [1_100, 110_000], 12),
        ({"examples": 1_280_000, "parameters": 25_557_032}, [100_000, 10_000_000], 5),
        # A network of one's own, whose names and shapes are in the file: more than a thousandth of it.
        ({"smallest_file": 400}, [600, 12_000], 40),
        ({"parameters": 2_000, "smallest_file": 400}, [600, 2_400], 40),
    ],
)
def test_files_are_trained_for_sizes_that_they_can_have(changes: dict[str, int], sizes: list[int], passes: int) -> None:
    space = usual_space(replace(KIND, **changes))
    assert space["pruning"] == {"rounds": 1, "rate": 0}
    assert space["retrain"]["epochs"] == 0
    assert space["quantization"]["training"]["target_bytes"] == {"int": sizes, "log": True}
    assert space["quantization"]["training"]["epochs"] == passes


def test_a_network_that_takes_hardly_more_than_its_names_is_pruned_in_rounds() -> None:
    tiny = replace(KIND, parameters=300, smallest_file=400)
    assert usual_space(tiny) == rounds_space(tiny)
    assert rounds_space(KIND)["pruning"]["rounds"] == 6
    _, chosen = completed({}, tiny)
    assert chosen[0] == "recipe: the usual space, rounds of pruning with retraining"


def test_what_a_file_says_stays_and_what_it_leaves_open_is_filled_in() -> None:
    tree = {
        "recipe": {"pruning": {"rounds": 3}, "quantization": {"step": 0.7}},
        "search": {"constraints": {}, "trials": 4},
        "resources": {"cpu": 2},
    }
    full, chosen = completed(tree, KIND)
    assert full["recipe"] == {"pruning": {"rounds": 3}, "quantization": {"method": "sequential", "step": 0.7}}
    assert full["search"] == {"constraints": {}, "trials": 4}
    assert full["resources"] == {"cpu": 2, "gpu": 0.25}
    assert chosen == ["recipe.quantization.method: sequential"]
    assert completed(full, KIND) == (full, [])
    assert tree["recipe"]["quantization"] == {"step": 0.7}


def test_scores_of_ones_own_get_no_bound_and_large_networks_a_gpu_of_their_own() -> None:
    full, _ = completed({"recipe": {"quantization": {"method": "rate_aware"}}}, replace(KIND, accuracy=False))
    assert "search" not in full
    assert completed({}, replace(KIND, parameters=25_000_000))[0]["resources"] == {"gpu": 1.0}


def test_without_an_accuracy_steps_are_shared_out_by_sensitivity_where_inputs_can_be_looked_at() -> None:
    other = replace(KIND, accuracy=False)
    for kind, granularity in ((KIND, None), (other, "sensitivity"), (replace(other, calibrates=False), None)):
        for tree in ({}, {"recipe": {"pruning": {"rounds": 3}}}):
            full, _ = completed(tree, kind)
            assert full["recipe"]["quantization"].get("granularity") == granularity
    given, _ = completed({"recipe": {"quantization": {"granularity": "tensor"}}}, other)
    assert given["recipe"]["quantization"]["granularity"] == "tensor"
    with_dead_zone, _ = completed({"recipe": {"quantization": {"dead_zone": 1.5}}}, other)
    assert with_dead_zone["recipe"]["quantization"] == {"method": "uniform", "step": 0.2, "dead_zone": 1.5}


def test_whether_the_network_must_be_looked_at() -> None:
    assert leaves_quantizer_open({})
    assert leaves_quantizer_open({"recipe": {"quantization": None}})
    assert not leaves_quantizer_open({"recipe": {"quantization": {"method": "uniform"}}})


def test_fewer_inputs_are_looked_at_where_a_layers_outputs_are_large() -> None:
    for numbers, count in ((64 * 112 * 112, 167), (2**17, None), (2048 * 32_000, 16)):
        kind = replace(KIND, largest_output=numbers)
        for tree in ({}, {"recipe": {"quantization": {"method": "rate_aware"}}}):
            full, _ = completed(tree, kind)
            assert full["recipe"]["quantization"].get("calibration") == count
        told, chosen = completed({"recipe": {"quantization": {"method": "hessian", "calibration": 900}}}, kind)
        assert told["recipe"]["quantization"]["calibration"] == 900
        assert not any("calibration" in line for line in chosen)
        assert rounds_space(kind)["quantization"].get("calibration") == count
