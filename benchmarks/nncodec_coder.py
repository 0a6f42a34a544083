"""NNCodec's entropy coder on integer tensors, run by `codec.py` with the Python of an environment that has NNCodec.

    python -m venv nncodec && nncodec/bin/pip install nncodec
    python benchmarks/codec.py --nncodec nncodec/bin/python

NNCodec needs NumPy before 2.0, rdsearch needs 2.0, so that one environment cannot hold both. The tensors are coded as
they are: no quantisation, contexts chosen for the smallest size, rows of zeros skipped, and no header.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from nncodec.extensions import deepCABAC  # type: ignore[import-not-found]

OFF = [deepCABAC.HdspMode.AlwaysOff, np.zeros(2, np.int8)]
UNARY = 10  # decisions of a magnitude that have contexts: NNCodec's default


def encoded(tensors: list[np.ndarray]) -> np.ndarray:
    encoder = deepCABAC.Encoder()
    for tensor in tensors:
        encoder.initCtxModels(UNARY, 1)
        empty = np.array([not row.any() for row in tensor], np.int32)
        encoder.encodeLayer(tensor, 0, 0, 1, 0, 1, empty, *OFF, 0, 0)
    payload: np.ndarray = encoder.finish()
    return payload


def decoded(payload: np.ndarray, tensors: list[np.ndarray]) -> list[np.ndarray]:
    decoder = deepCABAC.Decoder()
    decoder.setStream(payload)
    found = [np.zeros_like(tensor) for tensor in tensors]
    for tensor in found:
        decoder.initCtxModels(UNARY)
        decoder.decodeLayer(tensor, 0, 0, 1, 0, *OFF, 0, 0)
    return found


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def main() -> None:
    with np.load(sys.argv[1]) as stored:
        tensors = [stored[key] for key in stored.files]
    payload = encoded(tensors)
    if not all(map(np.array_equal, decoded(payload, tensors), tensors)):
        raise SystemExit("NNCodec did not give the tensors back")
    figures = [payload.nbytes, seconds(lambda: encoded(tensors)), seconds(lambda: decoded(payload, tensors))]
    print(json.dumps([version("nncodec"), *figures]))


if __name__ == "__main__":
    main()
