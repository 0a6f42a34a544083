from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rdsearch.base.network.inputs import count_examples, forward, in_parts, joined, some_examples
from rdsearch.errors import TaskError
from tests.tasks.helpers import FORMS, AnyForm

X = torch.arange(28.0).reshape(7, 4)
every_form = pytest.mark.parametrize("form", FORMS)


def whole(inputs: Any) -> Tensor:
    """The tensor that one of the `FORMS` was made of."""
    if isinstance(inputs, Tensor):
        return inputs
    return torch.cat([whole(part) for part in (inputs.values() if isinstance(inputs, dict) else inputs)], dim=1)


@every_form
def test_inputs_are_counted_cut_and_joined_in_their_form(form: str) -> None:
    inputs = FORMS[form](X)
    assert count_examples(inputs) == 7
    assert type(some_examples(inputs, slice(2))) is type(inputs)
    assert torch.equal(whole(some_examples(inputs, slice(2, 5))), X[2:5])
    parts = list(in_parts(inputs, 3))
    assert [count_examples(part) for part in parts] == [3, 3, 1]
    assert torch.equal(whole(joined(parts)), X)


@every_form
def test_a_network_is_called_with_tuples_positionally_and_mappings_by_keyword(form: str) -> None:
    network = AnyForm().eval()
    assert torch.equal(forward(network, FORMS[form](X)), network.body(X))


def test_a_list_is_as_good_as_a_tuple() -> None:
    inputs = [X[:, :2], X[:, 2:]]
    assert count_examples(inputs) == 7
    assert torch.equal(whole(some_examples(inputs, slice(3))), X[:3])


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((X, X[:3]), r"holds \(7, 4\), \(3, 4\): every tensor needs one entry for each example"),
        ({"x": X, "scale": torch.tensor(2.0)}, r"holds \(7, 4\), \(\): every tensor needs"),
        ((torch.zeros(0, 4), torch.tensor(2.0)), r"holds \(0, 4\), \(\): every tensor needs"),
        ({}, "holds no tensors: every"),
        ({"x": X, "names": ("a", "b")}, "holds a str: give tensors, or tuples or mappings of them"),
        (None, "holds a NoneType"),
    ],
)
def test_what_has_no_examples_that_can_be_counted_is_refused(inputs: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        count_examples(inputs)
    with pytest.raises(TaskError, match=said):
        some_examples(inputs, slice(2))


@pytest.mark.parametrize(
    "batches",
    [
        [X, X[:, :2]],
        [{"x": X}, {"y": X}],
        [(X, X), (X,)],
        [X, (X, X)],
        [(X, X), X],
    ],
)
def test_batches_of_different_forms_or_shapes_are_not_joined(batches: list[Any]) -> None:
    with pytest.raises(TaskError, match="cannot be joined into one"):
        joined(batches)
