from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from rdsearch.base.network.outputs import main_output, own_loss
from rdsearch.errors import TaskError

LOGITS, OTHER = torch.zeros(2, 3), torch.ones(2, 3)
GoogLeNet = namedtuple("GoogLeNet", ["logits", "aux_logits2", "aux_logits1"])


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        (LOGITS,),
        {"scores": LOGITS},
        {"aux": OTHER, "out": LOGITS},
        {"hidden": OTHER, "logits": LOGITS},
        GoogLeNet(LOGITS, OTHER, OTHER),
        SimpleNamespace(loss=None, logits=LOGITS),
    ],
    ids=["tensor", "tuple of one", "mapping of one", "out", "logits", "named tuple", "object"],
)
def test_the_tensor_that_counts_is_found(output: object) -> None:
    assert main_output(output) is LOGITS


def test_several_tensors_without_a_name_are_refused_in_one_sentence() -> None:
    with pytest.raises(TaskError, match=r"a tuple of 2 tensors, none of them called logits or out: give a loss="):
        main_output((LOGITS, OTHER))
    with pytest.raises(TaskError, match=r"a dict of 2 tensors \(boxes, scores\)"):
        main_output({"boxes": LOGITS, "scores": OTHER})


def test_a_loss_of_the_networks_own_is_a_single_number() -> None:
    loss = torch.tensor(1.5)
    assert own_loss(SimpleNamespace(loss=loss, logits=LOGITS)) is loss
    assert own_loss({"loss": loss}) is loss
    assert own_loss({"loss": LOGITS}) is None
    assert own_loss(LOGITS) is None
