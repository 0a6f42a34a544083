"""Quantisation-aware training of a file's levels, by the straight-through estimator.

The forward pass sees the weights that the file would hold; the gradient by these is taken for that by the float weights
behind them (Bengio, Léonard & Courville 2013; Courbariaux, Bengio & David 2015), which the optimiser moves from level
to level. Biases and the scale and shift of batch normalisation are trained in the same way, at their bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from rdsearch.quantization.batchnorm import batchnorm_layers, scale_and_shift, set_scale_and_shift
from rdsearch.quantization.uniform import Quantized
from rdsearch.quantization.vectors import VectorRounding
from rdsearch.retraining.retrain import distillation_hooks, require_finite
from rdsearch.retraining.settings import DistillationSettings, LevelTraining
from rdsearch.retraining.survivors import Survivors
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.hooks import StepHook
from rdsearch.tasks.training.train import train


class StraightThrough(StepHook):
    """The coded values in place of the parameters during each forward pass.

    Args:
        network: Decoded weights, and batch normalisations that are plain maps; see `train_levels`.
        levels: Of each quantised weight. Those that are zero stay zero.
        bits: Of biases and batch normalisation.
    """

    def __init__(self, network: nn.Module, levels: Mapping[str, Quantized], bits: int) -> None:
        masks = {name: torch.from_numpy(quantized.levels != 0) for name, quantized in levels.items()}
        self._survivors = Survivors(network, masks)
        self._own = self._survivors.values()
        trained = [levels[name].step for name in self._survivors.names]
        steps = torch.repeat_interleave(torch.tensor(trained), torch.tensor(self._survivors.counts, dtype=torch.int64))
        self._steps = steps.to(self._own.device)
        self._vectors = [
            parameter.detach()
            for name, parameter in network.named_parameters()
            if name not in levels and parameter.is_floating_point()
        ]
        self._own_vectors: list[Tensor] = []
        self._rounded_vectors = VectorRounding(self._vectors, bits)
        self._normalisations = [module for module in network.modules() if isinstance(module, _NormBase)]

    def before_forward(self) -> None:
        """Round; batch normalisation is held as the map that the file has."""
        for module in self._normalisations:
            module.training = False
        self._own = self._survivors.values()
        self._survivors.put(self._rounded())
        self._own_vectors = [vector.clone() for vector in self._vectors]
        _put(self._vectors, self._rounded_vectors())

    def after_backward(self) -> None:
        """Put the float values back."""
        self._survivors.put(self._own)
        _put(self._vectors, self._own_vectors)

    def finish(self) -> None:
        """Leave the coded weights; the others are rounded when they are coded."""
        self._own = self._survivors.values()
        self._survivors.put(self._rounded())

    def _rounded(self) -> Tensor:
        return torch.round(self._own / self._steps) * self._steps


def train_levels(
    network: nn.Module,
    levels: Mapping[str, Quantized],
    task: Task,
    settings: LevelTraining,
    *,
    bits: int,
    distillation: DistillationSettings,
    seed: int,
    device: torch.device,
) -> dict[str, Quantized]:
    """Train what a file will hold.

    Zeros stay zeros, so that the file hardly grows; steps stay as they are.

    Args:
        network: The network that decodes from ``levels``, on ``device``. Its weights become those that decode from the
            new levels, its biases and batch normalisations float values to be coded.
        levels: Of each quantised weight.
        task: Its training part and loss, without which nothing is trained; and its dense network where ``distillation``
            asks for it.
        settings: Epochs, learning rate, optimiser.
        bits: Of biases and batch normalisation.
        distillation: The dense network's share.
        seed: Of order, augmentation and dropout.
        device: Where to compute.

    Returns:
        The new levels.

    Raises:
        TaskError: The loss is no finite number, or the outputs are none that distillation can compare.
        TrialError: What is left is not finite.
    """
    if task.loss is None:
        return dict(levels)
    for layer in batchnorm_layers(network).values():
        # Scale and shift are what is coded: with statistics of 0 and 1 they are the layer's own parameters.
        set_scale_and_shift(layer, *scale_and_shift(layer))
    hooks = [*distillation_hooks(task, distillation, device), StraightThrough(network, levels, bits)]
    masks = {name: torch.from_numpy(quantized.levels != 0) for name, quantized in levels.items()}
    train(network, task.train, settings, seed=seed, device=device, masks=masks, loss=task.loss, hooks=hooks)
    require_finite(network, settings.lr, "quantization.training")
    return {name: _levels(network.get_parameter(name), quantized.step) for name, quantized in levels.items()}


def _levels(weight: Tensor, step: float) -> Quantized:
    ratio = weight.detach() / step if step else torch.zeros_like(weight)
    return Quantized(torch.round(ratio).to(torch.int32).cpu().numpy(), step)


def _put(vectors: list[Tensor], values: list[Tensor]) -> None:
    if vectors:
        torch._foreach_copy_(vectors, values)
