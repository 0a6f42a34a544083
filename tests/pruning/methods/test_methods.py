import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdsearch.pruning.methods.lamp import lamp_scores
from rdsearch.pruning.prune import prune
from rdsearch.pruning.ranking import Ranking, highest
from rdsearch.pruning.weights import prunable_weights
from tests.pruning.networks import lenet5, random_weights


def kept(masks):
    return [int(mask.sum()) for mask in masks.values()]


@pytest.fixture(scope="module")
def lenet():
    """Layers of 500, 25 000, 400 000 and 5 000 weights."""
    return prunable_weights(lenet5())


def test_highest_marks_what_a_sort_would():
    scores = np.random.default_rng(0).integers(0, 20, 200).astype(float)
    for count in (0, 1, 57, 199, 200):
        expected = np.zeros(200, dtype=bool)
        expected[np.argsort(-scores, kind="stable")[:count]] = True
        assert np.array_equal(highest(scores, count), expected)


def test_global_keeps_the_largest_magnitudes_of_all():
    weights = random_weights([(30, 20), (50,), (8, 4, 3, 3)])
    masks = prune(weights, None, 200)
    flat = torch.cat([w.flatten().abs() for w in weights.values()])
    marked = torch.cat([m.flatten() for m in masks.values()])
    assert torch.equal(marked.nonzero().flatten(), flat.argsort(descending=True)[:200].sort().values)


def test_uniform_gives_every_layer_the_same_density(lenet):
    # 430 500 weights, one in ten.
    assert kept(prune(lenet, None, 43_050, method="uniform")) == [50, 2500, 40_000, 500]


def test_uniform_keeps_the_largest_magnitudes_of_each_layer(lenet):
    for name, mask in prune(lenet, None, 43_050, method="uniform").items():
        assert lenet[name][mask].abs().min() >= lenet[name][~mask].abs().max()


def test_uniform_plus_spares_the_first_convolution_and_a_fifth_of_the_last_layer(lenet):
    # 43 050 - 500 - 1000 = 41 550 are left for layers of 25 000 and 400 000 weights.
    assert kept(prune(lenet, None, 43_050, method="uniform_plus")) == [500, 2444, 39_106, 1000]


def test_uniform_plus_shares_out_what_there_is_when_it_cannot_spare_both(lenet):
    assert kept(prune(lenet, None, 302, method="uniform_plus")) == [100, 1, 1, 200]


def test_uniform_plus_without_a_convolution_spares_the_last_layer_only():
    weights = random_weights([(100, 50), (10, 100)])
    assert kept(prune(weights, None, 500, method="uniform_plus")) == [300, 200]


def test_erk_densities_are_those_computed_by_hand(lenet):
    # Sums of dimensions: 20+1+5+5 = 31, 50+20+5+5 = 80, 500+800 = 1300, 10+500 = 510; together 1921.
    assert kept(prune(lenet, None, 1921 * 5, method="erk")) == [155, 400, 6500, 2550]


def test_erk_keeps_small_layers_dense_and_scales_the_others_up(lenet):
    # At 20 times the sums the first layer would need 620 of 500 and the last 10 200 of 5000: both are dense, and
    # 1921 * 20 - 500 - 5000 = 32 920 are shared 80 : 1300.
    assert kept(prune(lenet, None, 1921 * 20, method="erk")) == [500, 1908, 31_012, 5000]


def test_lamp_scores_follow_the_definition():
    magnitudes = np.random.default_rng(0).random(40)
    ranked = sorted(magnitudes, reverse=True)
    expected = [w**2 / sum(v**2 for v in magnitudes if v >= w) for w in ranked]
    assert lamp_scores(magnitudes).tolist() == pytest.approx(expected)


def test_lamp_gives_exactly_one_weight_of_a_layer_the_score_one():
    assert lamp_scores(np.ones(4)).tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert lamp_scores(np.zeros(3)).tolist() == [0, 0, 0]


def test_lamp_does_not_change_when_a_layer_is_scaled():
    weights = random_weights([(30, 20), (50, 6), (8, 4, 3, 3)])
    scaled = weights | {"layer1.weight": weights["layer1.weight"] * 1000}
    assert kept(prune(weights, None, 200, method="lamp")) == kept(prune(scaled, None, 200, method="lamp"))


def test_lamp_ranks_the_scores_of_all_layers_together():
    weights = random_weights([(30, 20), (50,), (8, 4, 3, 3)])
    scores = [lamp_scores(w.abs().flatten().numpy()) for w in weights.values()]
    threshold = np.sort(np.concatenate(scores))[-150]
    assert kept(prune(weights, None, 150, method="lamp")) == [int((layer >= threshold).sum()) for layer in scores]


def test_lamp_leaves_the_dead_out_of_the_sums():
    weights = {"a": torch.tensor([3.0, 2.0, 1.0]), "b": torch.tensor([9.0, 2.5, 2.0])}
    # Scores of b: 1, 6.25/87.25, ...; without its 9: 1, 6.25/10.25, ...; of a: 1, 4/13, 1/14.
    alive = {"a": torch.tensor([True, True, True]), "b": torch.tensor([False, True, True])}
    assert kept(prune(weights, None, 3, method="lamp")) == [2, 1]
    assert kept(prune(weights, alive, 3, method="lamp")) == [1, 2]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=4), st.data())
def test_a_ranking_counts_what_a_sort_of_all_layers_would_keep(layers, data):
    survivors = data.draw(st.integers(0, sum(map(len, layers))))
    flat = [(-score, place) for place, layer in enumerate(layers) for score in layer]
    expected = [[place for _, place in sorted(flat)[:survivors]].count(place) for place in range(len(layers))]
    assert Ranking([np.sort(np.array(layer, dtype=float)) for layer in layers]).counts(survivors) == expected


def test_layers_of_different_precision_are_ranked_together():
    layers = [np.array([0.1, 0.4], np.float32), np.array([0.2, 0.3, 0.5])]
    assert [Ranking(layers).counts(survivors) for survivors in range(6)] == [
        [0, 0],
        [0, 1],
        [1, 1],
        [1, 2],
        [1, 3],
        [2, 3],
    ]


@pytest.mark.parametrize("method", ["global", "lamp", "uniform"])
def test_masks_are_the_same_in_any_number_of_threads(method, monkeypatch):
    weights = random_weights([(30, 20), (50, 6), (8, 4, 3, 3), (7, 5)])
    found = []
    for threads in (1, 3, 16):
        monkeypatch.setattr("rdsearch.pruning.layers.get_num_threads", lambda threads=threads: threads)
        found.append(prune(weights, None, 333, method=method))
    for other in found[1:]:
        assert all(torch.equal(mask, other[name]) for name, mask in found[0].items())
