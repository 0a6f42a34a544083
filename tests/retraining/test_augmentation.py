from __future__ import annotations

import numpy as np
import torch

from rdsearch.retraining.augmentation import SHIFT, Augmented, affine
from rdsearch.tasks.splits import ArraySplit


def test_images_move_a_little_and_each_on_its_own() -> None:
    torch.manual_seed(0)
    images = torch.zeros(64, 1, 28, 28)
    images[:, :, 12:16, 12:16] = 1.0
    moved = affine(images)
    assert moved.shape == images.shape
    rows = torch.arange(28.0)
    centres = (moved.sum((1, 3)) * rows).sum(1) / moved.sum((1, 2, 3)) - 13.5
    assert centres.std() > 0.3
    assert centres.abs().max() < 28 * SHIFT + 1
    assert 0.9 < moved.mean() / images.mean() < 1.1


def test_edges_go_on_outside() -> None:
    assert torch.allclose(affine(torch.full((8, 3, 9, 9), -0.4)), torch.tensor(-0.4))


def test_a_share_of_the_training_batches_is_changed_and_no_others() -> None:
    images = np.random.default_rng(0).random((400, 1, 6, 6), np.float32)
    split = Augmented(ArraySplit(images, np.arange(400)), 0.5)
    assert len(split) == 400

    def changed(**options: bool) -> list[bool]:
        torch.manual_seed(0)
        batches = split.batches(4, generator=np.random.default_rng(0), **options)
        return [not np.array_equal(inputs.numpy(), images[targets.numpy()]) for inputs, targets in batches]

    assert 25 < sum(changed(augment=True)) < 75
    assert changed(augment=True) == changed(augment=True)
    assert not any(changed(augment=False))
