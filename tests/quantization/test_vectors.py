from __future__ import annotations

from functools import partial

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.quantization.uniform import dequantize, quantize_to_bits
from rdsearch.quantization.vectors import VectorRounding

floats = partial(st.floats, width=32, allow_subnormal=False)
values = st.lists(floats(-(2.0**100), 2.0**100) | floats(-2, 2), max_size=6)


@given(st.lists(values, max_size=5), st.integers(2, 16))
def test_vectors_decode_to_what_each_decodes_to_by_itself(several: list[list[float]], bits: int) -> None:
    vectors = [torch.tensor(one, dtype=torch.float32) for one in several]
    for vector, found in zip(vectors, VectorRounding(vectors, bits)(), strict=True):
        np.testing.assert_array_equal(found.numpy(), dequantize(quantize_to_bits(vector, bits)))


def test_they_are_read_anew_each_time_and_half_precision_stays_half() -> None:
    vectors = [torch.tensor([1.0, 0.3]), torch.tensor(0.7, dtype=torch.float16)]
    rounded = VectorRounding(vectors, 2)
    assert [found.tolist() for found in rounded()] == [[1.0, 0.0], rounded()[1].item()]
    vectors[0].fill_(3.0)
    assert rounded()[0].tolist() == [3.0, 3.0]
    assert [found.dtype for found in rounded()] == [torch.float32, torch.float16]
