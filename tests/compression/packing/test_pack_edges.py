"""Networks whose tensors are at some edge: they come back within half a step, whatever they look like."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from rdsearch.compression.loading import load
from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe

STEP = 0.5


class Holder(nn.Module):
    """Parameters of these values, as they lie in memory."""

    def __init__(self, *values: Tensor) -> None:
        super().__init__()
        self.values = nn.ParameterList([nn.Parameter(value, requires_grad=False) for value in values])


def round_trip(network: Holder, fresh: Holder) -> Holder:
    data = pack(network, lambda: fresh, QuantizationRecipe(step=STEP, bias_bits=12, reestimate_batchnorm=False), [])
    return load(data, into=fresh)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


EDGES = {
    "empty": torch.zeros(0, 3),
    "no rows and no values": torch.zeros(0),
    "without dimensions": torch.tensor(0.75),
    "all zero": torch.zeros(20, 30),
    "all zero vector": torch.zeros(7),
    "all equal": torch.full((4, 5), 0.3),
    "one weight": torch.tensor([[-2.0]]),
    "one bias": torch.tensor([3.0]),
    "transposed": random(6, 9).t(),
    "strided": random(8, 12)[::2, ::3],
    "channels last": random(4, 3, 5, 5).to(memory_format=torch.channels_last),
    "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 6),
    "a large range": torch.tensor([[1e-3, 1e3], [1.0, -1e2]]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_tensor_beside_an_ordinary_one_comes_back(edge: str, dtype: torch.dtype) -> None:
    value, ordinary = EDGES[edge].to(dtype), random(6, 6).to(dtype)
    decoded = round_trip(Holder(value, ordinary), Holder(torch.empty_like(value), torch.empty_like(ordinary)))
    rms = torch.cat([v[v != 0].flatten().float() for v in (value, ordinary) if v.dim() >= 2] or [torch.ones(1)])
    step = STEP * float(rms.square().mean().sqrt())
    for given, found in zip((value, ordinary), decoded.values, strict=True):
        assert found.dtype == dtype
        assert found.shape == given.shape
        allowed = step / 2 * 1.01 if given.dim() >= 2 else float(given.abs().max()) / 1000 if given.numel() else 0.0
        rounding = float(torch.finfo(dtype).eps) * given.abs().float()
        assert ((found.float() - given.float()).abs() <= allowed + rounding).all()


def test_a_network_of_edges_alone_comes_back() -> None:
    values = [torch.zeros(0, 3), torch.zeros(2, 2), torch.tensor(0.0)]
    decoded = round_trip(Holder(*values), Holder(*[torch.ones_like(value) for value in values]))
    for given, found in zip(values, decoded.values, strict=True):
        assert torch.equal(given, found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_tied_weights_of_half_precision_come_back_tied(dtype: torch.dtype) -> None:
    def tied() -> Holder:
        network = Holder(random(5, 4).to(dtype), torch.zeros(5, 4, dtype=dtype))
        network.values[1] = network.values[0]
        return network

    decoded = round_trip(tied(), tied())
    assert decoded.values[0] is decoded.values[1]
    assert decoded.values[0].dtype == dtype


def test_a_thousand_tensors_come_back_in_seconds() -> None:
    values = [random(3, 4) if index % 2 else random(5) for index in range(1000)]
    started = time.process_time()
    decoded = round_trip(Holder(*values), Holder(*[torch.empty_like(value) for value in values]))
    assert time.process_time() - started < 15
    assert all(found.abs().sum() > 0 for found in decoded.values)
