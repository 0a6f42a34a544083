"""Quality layers of one file: ``python -m benchmarks.progressive [--quality-layers N...] [--plot FILE]``.

A network is pruned and retrained for one round and packed without and with layers. Every prefix of the layered files is
decoded and its accuracy measured on test images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.quantization import machine
from rdsearch.coding.networkfile import part_sizes, prefix_ends
from rdsearch.compression.loading import load
from rdsearch.compression.measure import dense_network
from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe, RetrainRecipe
from rdsearch.pruning.prune import prune
from rdsearch.pruning.weights import prunable_weights
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.settings import TaskConfig
from rdsearch.tasks.splits import Split
from rdsearch.tasks.task import Task
from rdsearch.tasks.training.train import train

Points = list[tuple[int, float]]


def pruned(task: Task, sparsity: float, epochs: float) -> nn.Module:
    """The dense network without its smallest weights over all layers, retrained."""
    network = dense_network(task)
    weights = prunable_weights(network)
    survivors = round((1 - sparsity) * sum(weight.numel() for weight in weights.values()))
    masks = prune(weights, None, survivors, method="global")
    retrain = RetrainRecipe(epochs=epochs, lr=0.01, optimizer="sgd")
    train(network, task.train, retrain, seed=0, device=torch.device("cpu"), masks=masks, loss=task.loss)
    return network.eval()


def bytes_for(what: str, data: bytes) -> int:
    """Bytes of a file in quality layers that are for its weights, or for its biases and normalisation."""
    return sum(size for part, size in part_sizes(data).items() if part.endswith(f": {what}"))


def accuracies(task: Task, data: bytes, test: Split) -> Points:
    """(bytes, accuracy) of each prefix."""
    return [(end, task.score(load(data[:end], into=task.fresh_network()), split=test)) for end in prefix_ends(data)]


def plot(path: Path, curves: dict[str, Points]) -> None:
    """Accuracy against bytes, a line a file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=120)
    for index, (label, points) in enumerate(curves.items()):
        sizes, scores = zip(*points, strict=True)
        single = len(points) == 1
        axes.plot(
            np.array(sizes) / 1000,
            scores,
            marker="*" if single else "o",
            markersize=13 if single else 6,
            linestyle="none" if single else "-",
            color="black" if single else f"C{index - 1}",
            label=label,
            zorder=3 if single else 2,
        )
    axes.set_xlabel("bytes up to the end of the layer (kB)")
    axes.set_ylabel("accuracy on test images")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="digits_cnn")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--sparsity", type=float, default=0.8)
    parser.add_argument("--epochs", type=float, default=0.25, help="retraining after pruning")
    parser.add_argument("--step", type=float, default=0.3)
    parser.add_argument("--quality-layers", type=int, nargs="+", default=[2, 3, 4, 6])
    parser.add_argument("--images", type=int, default=2000, help="test images, the first so many")
    parser.add_argument("--calibration", type=int, default=1024, help="training images to match batch norm on")
    parser.add_argument("--scored", type=int, nargs="+", help="score these numbers of layers alone")
    parser.add_argument("--plot", type=Path, help="the picture to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(machine())
    task = load_task(TaskConfig(network=options.network, dataset=options.dataset, checkpoint=options.checkpoint))
    test = task.test_split()
    test = test.subset(np.arange(min(options.images, len(test))))
    chosen = np.random.default_rng(0).choice(len(task.train), min(options.calibration, len(task.train)), replace=False)
    calibration, _ = next(iter(task.train.subset(np.sort(chosen)).batches(options.calibration)))
    network = pruned(task, options.sparsity, options.epochs)
    print(f"{task.name}, sparsity {options.sparsity}, step {options.step}; {len(test)} test images", flush=True)
    curves: dict[str, Points] = {}
    single = 0
    for count in [1, *options.quality_layers]:
        settings = QuantizationRecipe(step=options.step, quality_layers=count)
        data = pack(network, task.fresh_network, settings, [calibration], network_id=task.network_id)
        if count == 1:
            single = len(data)
            print(f"without layers: {single:,} bytes")
        else:
            parts = ", ".join(f"{what} {bytes_for(what, data):,}" for what in ("weights", "biases and normalisation"))
            print(f"{count} layers: {len(data):,} bytes, {len(data) / single - 1:+.2%}; {parts}")
        ends = prefix_ends(data)
        scores = (
            accuracies(task, data, test) if count == 1 or count in (options.scored or options.quality_layers) else []
        )
        if scores:
            curves[f"{count} layers" if count > 1 else "without layers"] = scores
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False), start=1):
            accuracy = f"  accuracy {scores[number - 1][1]:.4f}" if scores else ""
            share = end / len(data)
            print(f"  layer {number}: {end - start:7,} bytes, to its end {end:7,} ({share:6.1%}){accuracy}", flush=True)
    if options.plot and curves:
        plot(options.plot, curves)
        print(options.plot)


if __name__ == "__main__":
    main()
