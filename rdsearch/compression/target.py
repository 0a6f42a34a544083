"""Whether a file can have the size that is asked for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rdsearch.coding.networkfile import encode_file
from rdsearch.compression.layout import layout_of
from rdsearch.compression.measure import Baseline
from rdsearch.compression.packing.contents import contents
from rdsearch.compression.packing.quantize import Decoded
from rdsearch.errors import QuantizationError
from rdsearch.quantization.uniform import Quantized
from rdsearch.tasks.task import Task

TRAINED = "quantization.training.target_bytes"
PACKED = "quantization.target_bytes"


def smallest_file(task: Task) -> int:
    """Bytes of a file whose levels are all zero: names, shapes, buffers and the frame."""
    network = task.fresh_network()
    layout = layout_of(network)
    levels = {entry.name: Quantized(np.zeros(entry.shape, np.int32), 0.0) for entry in layout.of("weight")}
    return len(encode_file(contents(Decoded(network, levels), layout, 2, task.network_id, None)))


def require_reachable(key: str, targets: Iterable[int], task: Task, baseline: Baseline) -> None:
    """Check sizes, the values of a setting, before any work is done for them.

    Raises:
        QuantizationError: One is below what an empty network takes, or above what the dense one takes.
    """
    targets = list(targets)
    if not targets:
        return
    least = smallest_file(task)
    if min(targets) <= least:
        raise QuantizationError(
            f"{key} = {min(targets):,}: a file of this network takes {least:,} bytes without a single weight; give "
            f"from {least + 1:,} to {baseline.size_bytes:,}"
        )
    if max(targets) > baseline.size_bytes:
        raise QuantizationError(
            f"{key} = {max(targets):,}: the dense network takes {baseline.size_bytes:,} bytes; give from {least + 1:,} "
            f"to {baseline.size_bytes:,}"
        )
