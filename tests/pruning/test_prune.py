import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdsearch.errors import PruningError, UnknownNameError
from rdsearch.pruning import METHODS
from rdsearch.pruning.profile import profile_budgets
from rdsearch.pruning.prune import prune
from rdsearch.pruning.weights import prunable_weights
from tests.pruning.networks import lenet5, random_weights

SHAPES = [(6, 1, 3, 3), (8, 6, 3, 3), (20, 32), (5, 20)]
TOTAL = 54 + 432 + 640 + 100


# Those that need nothing but the weights.
BY_WEIGHTS = [name for name in METHODS if name != "rd_prune"]


def kept(masks):
    return [int(mask.sum()) for mask in masks.values()]


@pytest.fixture
def weights():
    return random_weights(SHAPES)


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(BY_WEIGHTS),
    st.lists(st.integers(4, TOTAL), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["layer0", "layer1*", "*2.weight", "layer3*"]), st.floats(0.01, 100)),
    st.integers(0, 5),
)
def test_masks_are_nested_exact_and_leave_no_layer_empty(method, totals, budgets, seed):
    weights = random_weights(SHAPES, seed)
    masks = None
    for survivors in sorted(totals, reverse=True):
        before, masks = masks, prune(weights, masks, survivors, method=method, budgets=budgets, seed=seed)
        assert sum(kept(masks)) == survivors
        assert min(kept(masks)) >= 1
        for name, mask in masks.items():
            assert mask.dtype == torch.bool
            assert mask.shape == weights[name].shape
            assert before is None or not (mask & ~before[name]).any()


@pytest.mark.parametrize("method", [name for name in BY_WEIGHTS if name != "surp"])  # it draws anew in each round
@pytest.mark.parametrize("budgets", [None, {"layer1*": 3.0, "layer2*": 0.25}])
def test_rounds_end_where_one_round_would(weights, method, budgets):
    once = prune(weights, None, 80, method=method, budgets=budgets)
    masks = None
    for survivors in (1000, 700, 400, 200, 120, 80):
        masks = prune(weights, masks, survivors, method=method, budgets=budgets)
    assert kept(masks) == pytest.approx(kept(once), abs=1)


@pytest.mark.parametrize("method", BY_WEIGHTS)
def test_the_same_seed_gives_the_same_masks(weights, method):
    first, second = (prune(weights, None, 300, method=method, seed=7) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in weights)


def test_equal_magnitudes_survive_in_order():
    masks = prune({"a": torch.ones(2, 3), "b": -torch.ones(4)}, None, 8)
    assert [mask.flatten().tolist() for mask in masks.values()] == [[True] * 6, [True, True, False, False]]


def test_a_layer_that_the_method_would_empty_keeps_its_largest_weight():
    masks = prune({"small": torch.tensor([0.1, 0.2]), "large": torch.arange(10.0) + 5}, None, 4)
    assert masks["small"].tolist() == [False, True]
    assert masks["large"].nonzero().flatten().tolist() == [7, 8, 9]


def test_budgets_set_the_ratio_between_layers():
    weights = {name: torch.rand(1000) for name in ("a", "b", "c")}
    assert kept(prune(weights, None, 700, method="uniform", budgets={"a": 4, "b": 2})) == [400, 200, 100]
    assert kept(prune(weights, None, 700, method="uniform", budgets={"c": 0.25, "b": 0.5})) == [400, 200, 100]


def test_of_several_patterns_the_first_that_matches_counts():
    weights = {name: torch.rand(1000) for name in ("conv1.weight", "conv2.weight")}
    assert kept(prune(weights, None, 400, method="uniform", budgets={"conv1": 3, "conv*": 1})) == [300, 100]
    assert kept(prune(weights, None, 400, method="uniform", budgets={"conv*": 1, "conv1": 3})) == [200, 200]


def test_a_multiplier_beyond_what_is_alive_passes_the_rest_on():
    weights = {"a": torch.rand(100), "b": torch.rand(900)}
    assert kept(prune(weights, None, 500, method="uniform", budgets={"a": 1000})) == [100, 400]


def test_a_multiplier_of_zero_empties_the_layer(weights):
    masks = prune(weights, None, 500, budgets={"layer1*": 0})
    assert kept(masks)[1] == 0
    assert sum(kept(masks)) == 500


def test_everything_alive_may_be_kept(weights):
    masks = prune(weights, None, 300, method="lamp")
    again = prune(weights, masks, 300, method="surp")
    assert all(torch.equal(again[name], masks[name]) for name in weights)
    assert kept(prune(weights, None, TOTAL)) == [54, 432, 640, 100]


def test_the_masks_given_are_not_changed(weights):
    masks = prune(weights, None, 600)
    copies = {name: mask.clone() for name, mask in masks.items()}
    prune(weights, masks, 100)
    assert all(torch.equal(copies[name], masks[name]) for name in weights)


def test_half_precision_and_live_parameters_are_pruned_as_they_are():
    weights = prunable_weights(lenet5().bfloat16())
    assert sum(kept(prune(weights, None, 9000, method="lamp"))) == 9000


@pytest.mark.parametrize(
    ("survivors", "budgets", "message"),
    [
        (3, {}, "3 survivors are not possible: 1226 of 1226 weights are alive, .* ask for 4 to 1226"),
        (1227, {}, "ask for 4 to 1226"),
        (800, {"layer2": 0}, r"586 of 1226 weights are alive outside of what the budgets empty \(layer2.weight\)"),
        (100, {"conv*": 2}, r"budgets: pattern 'conv\*' matches no layer.*layer0.weight, layer1.weight"),
        (100, {"layer0": -1}, "multiplier -1 of 'layer0' is not allowed. Give 0, which empties the layer"),
        (100, {"layer0": float("nan")}, "multiplier nan"),
    ],
)
def test_requests_that_cannot_be_met_say_what_can(weights, survivors, budgets, message):
    with pytest.raises(PruningError, match=message):
        prune(weights, None, survivors, budgets=budgets)


def test_an_unknown_method_suggests_the_nearest(weights):
    with pytest.raises(UnknownNameError, match="Did you mean 'global'"):
        prune(weights, None, 10, method="globl")


def test_an_unknown_option_lists_those_that_exist(weights):
    with pytest.raises(PruningError, match=r"'alfa'; its options are update, alpha, beta, .*\. Did you mean 'alpha'"):
        prune(weights, None, 10, method="surp", options={"alfa": 3})
    with pytest.raises(PruningError, match="'erk' has no option 'alpha'; it has no options"):
        prune(weights, None, 10, method="erk", options={"alpha": 3})


def test_weights_that_are_not_finite_are_named(weights):
    weights["layer1.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(PruningError, match=r"layer1.weight \(1 of 432\)"):
        prune(weights, None, 10)


def test_masks_that_do_not_fit_are_named(weights):
    masks = prune(weights, None, 600)
    with pytest.raises(PruningError, match=r"masks are for layer0.weight, .* Give one mask for each weight"):
        prune(weights, {"layer0.weight": masks["layer0.weight"]}, 10)
    with pytest.raises(PruningError, match=r"the mask of layer3.weight is torch.bool of shape \(20, 5\)"):
        prune(weights, masks | {"layer3.weight": masks["layer3.weight"].T}, 10)
    with pytest.raises(PruningError, match=r"the mask of layer3\.weight is torch\.float32"):
        prune(weights, masks | {"layer3.weight": masks["layer3.weight"].float()}, 10)


def test_no_weights_are_an_error():
    with pytest.raises(PruningError, match="no weights to prune"):
        prune({}, None, 1)


def test_a_profile_moves_survivors_along_depth_size_and_fan_in(weights):
    flat = kept(prune(weights, None, 300, method="uniform", budgets=profile_budgets(weights)))
    assert flat == kept(prune(weights, None, 300, method="uniform"))
    deep = kept(prune(weights, None, 300, method="uniform", budgets=profile_budgets(weights, depth=1.0)))
    assert deep[-1] > flat[-1]
    assert deep[0] < flat[0]
    assert profile_budgets(weights, size=0.5)["layer2.weight"] == pytest.approx(2.718281828**0.5)
    assert profile_budgets(weights, fan_in=1.0)["layer0.weight"] == pytest.approx(1 / 2.718281828)
    assert profile_budgets(weights, first=3, last=0)["layer3.weight"] == 0
