from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rdsearch.errors import TaskError
from rdsearch.tasks.checks.classes import are_classes, class_numbers, cross_entropy

LOGITS = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
LABELS = torch.tensor([0, 2, 1, 2, 0])


@pytest.mark.parametrize(
    "targets",
    [
        LABELS,
        LABELS.int(),
        LABELS.to(torch.uint8),
        LABELS[:, None],
        F.one_hot(LABELS, 3),
        F.one_hot(LABELS, 3).float(),
        F.one_hot(LABELS, 3).bool(),
    ],
    ids=["int64", "int32", "uint8", "column", "one-hot", "one-hot floats", "one-hot booleans"],
)
def test_classes_are_the_same_in_every_form(targets: torch.Tensor) -> None:
    numbers = class_numbers(LOGITS, targets)
    assert numbers is not None
    assert torch.equal(numbers, LABELS)
    assert are_classes(LOGITS, targets)
    torch.testing.assert_close(cross_entropy(LOGITS, targets), F.cross_entropy(LOGITS, LABELS))


def test_every_position_may_have_a_class_and_some_may_be_ignored() -> None:
    logits, labels = torch.randn(2, 4, 6, 5), torch.randint(4, (2, 6, 5))
    labels[0, 0] = -100
    assert are_classes(logits, labels)
    torch.testing.assert_close(cross_entropy(logits, labels), F.cross_entropy(logits, labels))


def test_distributions_over_classes_are_learned_from_but_are_no_classes() -> None:
    mixed = 0.7 * F.one_hot(LABELS, 3) + 0.3 * F.one_hot(LABELS.roll(1), 3)
    assert class_numbers(LOGITS, mixed) is None
    assert are_classes(LOGITS, mixed)
    torch.testing.assert_close(cross_entropy(LOGITS, mixed), F.cross_entropy(LOGITS, mixed))


@pytest.mark.parametrize(
    ("output", "targets"),
    [
        (LOGITS, torch.randn(5, 3)),
        (LOGITS, torch.zeros(5)),
        (LOGITS, torch.tensor([0, 1, 2, 3, 0])),
        (LOGITS, torch.tensor([0, 1, 2, -1, 0])),
        (LOGITS, torch.tensor([[1, 1, 0]] * 5)),
        (LOGITS[:, :1], torch.zeros(5, dtype=torch.int64)),
        (LOGITS[:, 0], LABELS),
        (torch.randn(2, 6, 4), torch.randint(4, (2, 6))),
        ({"logits": LOGITS}, LABELS),
        (LOGITS, ("cat", "dog")),
    ],
)
def test_what_cross_entropy_means_nothing_for(output: object, targets: object) -> None:
    assert not are_classes(output, targets)


def test_words_are_named() -> None:
    with pytest.raises(
        TaskError, match=r"output float32 \(5, 3\) and targets words such as 'cat': cross-entropy takes"
    ):
        cross_entropy(LOGITS, ("cat", "dog"))  # type: ignore[arg-type]
