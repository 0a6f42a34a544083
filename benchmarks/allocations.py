"""What each pruning method leaves of a network: ``python -m benchmarks.allocations [--network ...]``.

One shot, no retraining: the dense network is pruned to some sparsities, batch normalisation is matched to the dense
network's statistics, and the validation accuracy is measured in float, together with the seconds of CPU that pruning
took. The test split is not read.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.given import given_task, task_parser
from benchmarks.machine import machine
from rdsearch.compression.measure import dense_network
from rdsearch.pruning import METHODS
from rdsearch.pruning.prune import prune
from rdsearch.pruning.weights import prunable_weights
from rdsearch.quantization.batchnorm import match_statistics

CALIBRATION = 64
"""Images that rd_prune looks at."""
MATCHING = 512


def main() -> None:
    """Run all methods."""
    parser = task_parser(__doc__)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.7, 0.8, 0.9])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("torch", "numpy"))
    task = given_task(arguments)
    dense = dense_network(task)
    chosen = np.sort(np.random.default_rng(0).choice(len(task.train), min(MATCHING, len(task.train)), replace=False))
    images, _ = next(iter(task.train.subset(chosen).batches(MATCHING)))
    print(f"{task.name}: dense network, validation accuracy {task.score(dense):.4f} on {len(task.validation)} images\n")
    print(f"{'sparsity':12}" + "".join(f"{sparsity:9.2f}" for sparsity in arguments.sparsities) + f"{'CPU s':>9}")
    for method in METHODS:
        cells, seconds = "", []
        for sparsity in arguments.sparsities:
            network = dense_network(task)
            weights = prunable_weights(network)
            survivors = round((1 - sparsity) * sum(weight.numel() for weight in weights.values()))
            started = time.process_time()
            masks = prune(weights, None, survivors, method=method, network=network, inputs=lambda: images[:CALIBRATION])
            seconds.append(time.process_time() - started)
            with torch.no_grad():
                for name, mask in masks.items():
                    weights[name].mul_(mask)
            match_statistics(network, dense, [images])
            cells += f"{task.score(network):9.4f}"
        print(f"{method:12}{cells}{np.median(seconds):9.2f}", flush=True)


if __name__ == "__main__":
    main()
