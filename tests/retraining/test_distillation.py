from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdsearch.compression.rounds import compress
from rdsearch.errors import TaskError
from rdsearch.retraining.distillation import Distillation
from rdsearch.tasks.settings import TrainingConfig
from rdsearch.tasks.splits import ArraySplit
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.train import train
from tests.tasks.helpers import TiedTransformer, blobs, counting_sequences, next_token_loss, seeded_network


def test_the_objective_is_hintons() -> None:
    teacher = seeded_network(1).eval()
    inputs, labels = (torch.from_numpy(array) for array in blobs(12))
    output = torch.randn(12, 3)
    loss = F.cross_entropy(output, labels)
    found = Distillation(teacher, 0.3, 5.0).objective(inputs, output, labels, loss)
    soft_teacher, soft_student = (torch.softmax(logits / 5, dim=1) for logits in (teacher(inputs), output))
    divergence = (soft_teacher * (soft_teacher / soft_student).log()).sum(1).mean()
    torch.testing.assert_close(found, 0.7 * loss + 0.3 * 25 * divergence)


def test_a_student_learns_from_the_teacher_alone_when_the_labels_are_wrong() -> None:
    inputs, labels = blobs()
    teacher, student = seeded_network(), seeded_network(5)
    train(teacher, ArraySplit(inputs, labels), TrainingConfig(epochs=8, lr=0.02, batch_size=32))
    wrong = ArraySplit(inputs, (labels + 1) % 3)
    hook = Distillation(teacher.eval(), 1.0, 4.0)
    train(student, wrong, TrainingConfig(epochs=20, lr=0.02, batch_size=32), hooks=[hook])
    with torch.inference_mode():
        points = torch.from_numpy(inputs)
        assert (student.eval()(points).argmax(1) == teacher(points).argmax(1)).float().mean() > 0.97


def test_the_teacher_is_not_changed() -> None:
    teacher = seeded_network().eval()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    hook = Distillation(teacher, 0.5, 4.0)
    train(seeded_network(1), ArraySplit(*blobs()), TrainingConfig(epochs=1), hooks=[hook])
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize(
    ("output", "targets", "seen"),
    [
        (torch.zeros(4, 3, 2), torch.zeros(4, 2, dtype=torch.int64), r"outputs of shape \(4, 3, 2\)"),
        (torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64), r"shape \(4, 1\)"),
        (torch.zeros(4, 3), torch.zeros(4, 3), r"targets of shape \(4, 3\), torch.float32"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(output: Any, targets: Tensor, seen: str) -> None:
    hook = Distillation(nn.Identity(), 0.5, 4.0)
    with pytest.raises(TaskError, match=f"{seen}.*Leave distillation out"):
        hook.objective(torch.zeros(4, 3), output, targets, torch.zeros(()))


def test_a_language_model_is_told_to_leave_distillation_out() -> None:
    task = Task(
        network=TiedTransformer(),
        train=counting_sequences(),
        evaluate=lambda network, batches: 0.5,
        loss=next_token_loss,
    )
    with pytest.raises(TaskError, match=r"retrain\.distillation compares logits"):
        list(compress(task, {"retrain": {"distillation": {"weight": 0.5}}}, device="cpu"))


def test_a_loss_of_ones_own_is_mixed_in() -> None:
    def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=0.2)

    task = Task(network=seeded_network(), train=blobs(), loss=smoothed)
    plain, distilled = (
        next(iter(compress(task, {"retrain": {"distillation": {"weight": weight}}}, device="cpu"))).data
        for weight in (0.0, 0.5)
    )
    assert plain != distilled
