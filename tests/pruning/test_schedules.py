import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdsearch.errors import PruningError, UnknownNameError
from rdsearch.pruning import SCHEDULES
from rdsearch.pruning.schedules import prefix_consistent, survivors_after


def survivors(total, schedule, rounds, **numbers):
    return [survivors_after(total, k, schedule=schedule, rounds=rounds, **numbers) for k in range(1, rounds + 1)]


def test_constant_removes_a_share_of_what_is_left():
    assert survivors(10_000, "constant", 4, rate=0.2) == [8000, 6400, 5120, 4096]


def test_constant_takes_one_rate_a_round():
    assert survivors(1000, "constant", 3, rate=[0.5, 0.2, 0.9]) == [500, 400, 40]


def test_linear_removes_the_same_number_each_round():
    assert survivors(1000, "linear", 4, final_sparsity=0.8) == [800, 600, 400, 200]


def test_cubic_follows_zhu_and_gupta():
    # 0.9 * (1 - (1 - k/3)^3) for k = 1, 2, 3.
    assert survivors(27_000, "cubic", 3, final_sparsity=0.9) == [9900, 3600, 2700]


def test_one_shot_prunes_in_the_first_round_and_then_holds():
    assert survivors(1000, "one_shot", 3, final_sparsity=0.97) == [30, 30, 30]


@settings(deadline=None)
@given(st.sampled_from(list(SCHEDULES)), st.integers(1, 10**8), st.integers(1, 40), st.floats(0, 0.999))
def test_survivors_never_grow_and_never_run_out(schedule, total, rounds, share):
    left = survivors(total, schedule, rounds, rate=share, final_sparsity=share)
    assert sorted(left, reverse=True) == left
    assert all(1 <= count <= total for count in left)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_prefix_consistent_says_whether_a_longer_run_extends_a_shorter_one(schedule):
    short, long = (survivors(100_000, schedule, rounds, rate=0.2, final_sparsity=0.9) for rounds in (4, 7))
    assert (long[:4] == short) == prefix_consistent(schedule)


@pytest.mark.parametrize("rate", [1.0, 1.5, -0.1, float("nan"), [0.5, 1.0]])
def test_a_rate_outside_of_zero_to_one_is_refused(rate):
    with pytest.raises(PruningError, match=r"rate: .* is not allowed; give a share of at least 0 and below 1"):
        survivors_after(100, 2, schedule="constant", rounds=2, rate=rate)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"schedule": "cubic"}, "final_sparsity: is required by schedule 'cubic'"),
        ({"schedule": "linear", "final_sparsity": 1.0}, "final_sparsity: 1.0 is not allowed"),
        ({"schedule": "constant"}, "rate: is required by schedule 'constant'"),
        ({"schedule": "constant", "rate": [0.1]}, "1 rates do not reach round 2"),
    ],
)
def test_missing_or_wrong_numbers_name_the_setting(numbers, message):
    with pytest.raises(PruningError, match=message):
        survivors_after(100, 2, rounds=2, **numbers)


def test_rounds_are_counted_from_one():
    with pytest.raises(PruningError, match="round 0 is not one of 3 rounds"):
        survivors_after(100, 0, schedule="constant", rounds=3, rate=0.2)


def test_an_unknown_schedule_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'cubic'"):
        survivors_after(100, 1, schedule="cubik", rounds=3, final_sparsity=0.2)
    with pytest.raises(UnknownNameError):
        prefix_consistent("cubik")


def test_a_network_without_weights_is_refused():
    with pytest.raises(PruningError, match="0 weights cannot be pruned"):
        survivors_after(0, 1, schedule="constant", rounds=3, rate=0.2)
