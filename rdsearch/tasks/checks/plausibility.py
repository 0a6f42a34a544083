"""Whether a dense network does its job as well as it should, before a search is spent on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rdsearch.base.units import standard_error
from rdsearch.tasks.task import Task

CHANCE_FACTOR = 2.0
"""An accuracy below so many times that of guessing is that of a network which does not know its task."""

HIGH_ERROR, LOW_ERROR = 1.5, 0.45
"""Times the expected share of wrong answers: above the one the network lags, below the other it has cheated."""

SURE_ERRORS = 3.0
"""Standard errors that a difference has to exceed: chance alone does that once in some hundred tasks."""


def doubts(task: Task, score: float) -> Iterator[str]:
    """What is odd about the dense network's validation accuracy, one sentence each.

    Args:
        task: What the network is to do; nothing is said of scores that are no accuracies.
        score: Its score on the validation part.
    """
    if not task.is_accuracy:
        return
    labels = task.validation.labels
    guessing = float(np.bincount(labels).max()) / len(labels) if labels is not None else 0.0
    if score < min(CHANCE_FACTOR * guessing, (1.0 + guessing) / 2):
        yield (
            f"the dense network's validation accuracy is {score:.4f}, the commonest class alone gives "
            f"{guessing:.4f}: check the checkpoint, the order of the classes and the normalisation of the inputs"
        )
    elif task.expected_accuracy is not None:
        yield from _far(score, task.expected_accuracy, len(task.validation))


def seen_before(task: Task) -> Iterator[str]:
    """Why a validation score may be too good, where a trained network is scored on what is cut from its training data.

    Args:
        task: Its data and where its weights come from; nothing is read and nothing run.
    """
    if task.may_have_seen_validation:
        yield (
            f"the {len(task.validation):,} validation examples are cut from the training data, and the network came "
            "trained: if it has seen them, scores are too good and drops wrong. Give validation data that it has not "
            "seen, or say held_out: true where it has not"
        )


def _far(score: float, expected: float, examples: int) -> Iterator[str]:
    unsure = SURE_ERRORS * standard_error(expected, examples)
    wrong, usual = 1.0 - score, 1.0 - expected
    if wrong > HIGH_ERROR * usual + unsure:
        yield (
            f"the dense network's validation accuracy is {score:.4f}, this network reaches {expected:.4f} on this data "
            "as a rule: check the checkpoint and the normalisation of the inputs (options.dataset.mean and std), or "
            "train it for longer"
        )
    elif wrong < LOW_ERROR * usual - unsure:
        yield (
            f"the dense network's validation accuracy is {score:.4f}, well above the {expected:.4f} that this network "
            "reaches on data that it has not seen: the checkpoint was probably trained on these very examples, and "
            "drops will look worse than they are; validate on other data, or leave the checkpoint out"
        )
