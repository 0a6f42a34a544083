import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdsearch.errors import PruningError
from rdsearch.pruning.methods.surp_steps import Rule, refine
from rdsearch.pruning.prune import prune
from tests.pruning.methods.surp_reference import refine_slowly
from tests.pruning.networks import random_weights

N = 200_000
SAMPLE = np.random.default_rng(0).exponential(size=N)  # magnitudes of a Laplacian source with lambda = 1


def rules(n):
    return [Rule.authors(n, 10.0), Rule.authors(n, 2.0), Rule.paper(n, math.log(n)), Rule.paper(n, n / math.e)]


def assert_same_as_the_loop(magnitudes, survivors, rule, seed):
    fast = refine(magnitudes, survivors, rule, np.random.default_rng(seed))
    picks, thresholds, members, residual, refreshes = refine_slowly(
        magnitudes, survivors, rule.alpha, rule.decay, np.random.default_rng(seed)
    )
    assert np.array_equal(fast.picks, picks)
    assert np.array_equal(fast.thresholds, thresholds)
    assert np.array_equal(fast.members, members)
    assert np.array_equal(fast.residual, residual)
    assert fast.refreshes == refreshes


@pytest.mark.parametrize("survivors", [1, 50, 1000, 1999, 2000])
@pytest.mark.parametrize("rule", rules(2000))
def test_fast_makes_the_picks_and_thresholds_of_the_loop(rule, survivors):
    assert_same_as_the_loop(SAMPLE[:2000], survivors, rule, seed=survivors)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.floats(1e-3, 1e3)), min_size=3, max_size=60),
    st.data(),
)
def test_fast_is_the_loop_on_zeros_ties_and_outliers(values, data):
    magnitudes = np.array(values)
    survivors = data.draw(st.integers(0, int(np.count_nonzero(magnitudes))))
    assert_same_as_the_loop(magnitudes, survivors, data.draw(st.sampled_from(rules(len(values)))), seed=1)


def test_fewer_survivors_are_a_prefix_of_more():
    rule = Rule.authors(N, 10.0)
    few, many = (refine(SAMPLE, k, rule, np.random.default_rng(2)) for k in (5000, 100_000))
    assert np.array_equal(few.picks, many.picks[: few.picks.size])


def test_what_was_taken_off_and_what_is_left_add_up():
    steps = refine(SAMPLE, 60_000, Rule.authors(N, 10.0), np.random.default_rng(0))
    taken = np.bincount(steps.picks, weights=steps.thresholds, minlength=N)
    assert np.allclose(taken + steps.residual, SAMPLE, atol=1e-12)
    assert steps.residual.min() >= 0
    assert np.unique(steps.picks).size == 60_000


def test_the_threshold_never_rises():
    assert (np.diff(refine(SAMPLE, 150_000, Rule.authors(N, 10.0), np.random.default_rng(0)).thresholds) <= 0).all()


@pytest.mark.parametrize("sparsity", [0.99, 0.95, 0.9])
@pytest.mark.parametrize("log_ratio", [0.5, 1.0, 2.0])
def test_the_papers_update_follows_the_theory_on_a_laplacian(log_ratio, sparsity):
    # A step spends log(n/beta) nats and multiplies the l1 distortion by 1 - log(n/beta)/n, so that the rate is
    # R(D) = -log D; it picks all indices alike, so that the share never picked is exp(-steps/n) = D^(1/log(n/beta)).
    rule = Rule.paper(N, N * math.exp(-log_ratio))
    steps = refine(SAMPLE, round(N * (1 - sparsity)), rule, np.random.default_rng(0))
    distortion = steps.residual.mean() / SAMPLE.mean()
    assert -math.log(distortion) * N == pytest.approx(steps.picks.size * log_ratio, rel=0.01)
    assert sparsity == pytest.approx(distortion ** (1 / log_ratio), abs=0.003)


@pytest.mark.parametrize(("log_ratio", "power"), [(0.5, 2), (1.0, 1)])
def test_the_share_of_zeros_is_the_point_mass_of_the_optimal_reconstruction(log_ratio, power):
    # (lambda D)^2 is that of a Laplacian under l1 distortion; lambda D that of its magnitudes, never over-estimated.
    steps = refine(SAMPLE, N // 10, Rule.paper(N, N * math.exp(-log_ratio)), np.random.default_rng(0))
    assert (steps.residual.mean() / SAMPLE.mean()) ** power == pytest.approx(0.9, abs=0.005)


@pytest.mark.parametrize("sparsity", [0.999, 0.99, 0.95, 0.9])
def test_the_authors_update_comes_near_the_best_sparse_reconstruction(sparsity):
    # Keeping the largest exactly leaves E[u; u < t] = 1 - e^-t (1 + t) with e^-t = 1 - sparsity: no code with as many
    # zeros can have less l1 distortion.
    t = -math.log(1 - sparsity)
    best = 1 - math.exp(-t) * (1 + t)
    steps = refine(SAMPLE, round(N * (1 - sparsity)), Rule.authors(N, 10.0), np.random.default_rng(0))
    distortion = steps.residual.mean() / SAMPLE.mean()
    assert best - 0.003 < distortion < best + 0.02


def test_more_survivors_than_positive_magnitudes_are_refused():
    with pytest.raises(PruningError, match="3 survivors of 2 positive magnitudes"):
        refine(np.array([1.0, 0.0, 2.0]), 3, Rule.authors(3, 10.0), np.random.default_rng(0))


def test_layers_are_compared_after_normalisation():
    weights = random_weights([(40, 50), (40, 50)])
    scaled = {name: w * (1000 if name == "layer1.weight" else 1) for name, w in weights.items()}
    plain, other = (prune(w, None, 400, method="surp", seed=3) for w in (weights, scaled))
    assert all((plain[name] == other[name]).float().mean() > 0.98 for name in weights)


def test_the_seed_decides_the_picks():
    weights = random_weights([(60, 50)])
    masks = [prune(weights, None, 1500, method="surp", seed=seed)["layer0.weight"] for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_dead_weights_play_no_part():
    weights = random_weights([(60, 50), (30, 30)])
    masks = prune(weights, None, 2000, method="surp")
    lively = {name: torch.where(masks[name], w, 1e6) for name, w in weights.items()}
    after, expected = (prune(w, masks, 1000, method="surp", seed=5) for w in (lively, weights))
    assert all(torch.equal(after[name], expected[name]) for name in weights)


def test_weights_that_are_zero_come_last_and_in_order():
    weights = {"a": torch.tensor([0.0, 3.0, 0.0, 1.0]), "b": torch.zeros(3)}
    masks = prune(weights, None, 5, method="surp")
    assert masks["a"].tolist() == [True] * 4
    assert masks["b"].tolist() == [True, False, False]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("update", ["authors", "paper"])
def test_tiny_networks_are_pruned_too(n, update):
    masks = prune({"a": torch.arange(n) + 1.0, "b": torch.ones(1)}, None, 2, method="surp", options={"update": update})
    assert sum(int(mask.sum()) for mask in masks.values()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha 0 is not allowed"),
        ({"alpha": float("nan")}, "alpha nan is not allowed"),
        ({"beta": 5}, "beta belongs to update 'paper', not to 'authors'"),
        ({"update": "paper", "alpha": 5}, "alpha belongs to update 'authors', not to 'paper'"),
        ({"update": "paper", "beta": 3000}, "beta 3000 is not allowed for 3000 living weights"),
        ({"update": "paper", "beta": 0}, "beta 0 is not allowed"),
        ({"update": "other"}, "'other' is not known; give 'authors' or 'paper'"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(PruningError, match=message):
        prune(random_weights([(60, 50)]), None, 1500, method="surp", options=options)
