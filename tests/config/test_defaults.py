from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from rdsearch.config.defaults import Kind, completed, leaves_quantizer_open, usual_space
from rdsearch.config.searchfile import check_search

KIND = Kind(accuracy=True, trains=True, calibrates=True, parameters=30_000)


@pytest.mark.parametrize(("trains", "calibrates"), list(product([True, False], repeat=2)))
def test_the_usual_space_is_one_to_search_in(trains: bool, calibrates: bool) -> None:
    kind = replace(KIND, trains=trains, calibrates=calibrates)
    tree, chosen = completed({}, kind)
    file = check_search(tree, source="s", name="s", own_task=True)
    assert (file.trials, file.space.recipes) == (60, None)
    assert tree["recipe"] == usual_space(kind)
    assert file.tree["recipe"]["quantization"]["method"] == ("sequential" if calibrates else "uniform")
    assert chosen == [
        f"recipe: the usual space, with {'' if trains else 'no '}retraining",
        "search.constraints: accuracy_drop 0.05",
    ]


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
