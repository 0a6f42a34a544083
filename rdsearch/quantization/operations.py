"""The adapters: of each function of torch that multiplies weights, how they are matrices and what they multiply.

Networks are looked at while they run, function by function, so that a layer of any type is treated as long as it
computes with functions of this table: a new kind of layer is one entry, or none. An entry is a generator that takes the
function's own arguments and yields its products in the order in which they are computed; whoever looks may change each
weight before the next product is asked for, whose inputs then follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rdsearch.quantization.forms import Form, Kernel, Matrix, TransposedKernel
from rdsearch.quantization.inputs import Given, Rows, Windows

Sizes: TypeAlias = int | Sequence[int]


@dataclass(frozen=True)
class Product:
    """A weight times inputs.

    Attributes:
        weight: A parameter, one matrix of it (``experts[3]``), or either transposed.
        bias: Added to the product, if anything is.
        form: How ``weight`` is matrices.
        given: The inputs.
        group: The one matrix of ``form`` that these inputs are for; ``None`` for all.
        routed: Whether which inputs there are depends on the network, as with experts: two networks' do not correspond.
    """

    weight: Tensor
    bias: Tensor | None
    form: Form
    given: Given
    group: int | None = None
    routed: bool = False


Operation: TypeAlias = Callable[..., Iterator[Product]]


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Iterator[Product]:  # noqa: A002
    yield Product(weight, bias, Matrix(), Rows(input.reshape(1, -1, input.shape[-1])))


def _matmul(input: Tensor, other: Tensor, **_: Any) -> Iterator[Product]:  # noqa: A002
    if input.dim() == other.dim() == 3:
        yield Product(other, None, Matrix(len(other), transposed=True), Rows(input))
    elif other.dim() == 2:
        yield Product(other, None, Matrix(transposed=True), Rows(input.reshape(1, -1, input.shape[-1])))
    if input.dim() == 2 and other.dim() > 1:
        rows = other.movedim(-2, -1)
        yield Product(input, None, Matrix(), Rows(rows.reshape(1, -1, rows.shape[-1])))


def _reversed_matmul(other: Tensor, input: Tensor, **named: Any) -> Iterator[Product]:  # noqa: A002
    return _matmul(input, other, **named)


def _addmm(bias: Tensor, input: Tensor, other: Tensor, **_: Any) -> Iterator[Product]:  # noqa: A002
    for product in _matmul(input, other):
        yield Product(product.weight, bias if product.weight is other else None, product.form, product.given)


def _grouped_mm(input: Tensor, other: Tensor, *, offs: Tensor, **_: Any) -> Iterator[Product]:  # noqa: A002
    start = 0
    for group, stop in enumerate(offs.tolist()):
        rows = Rows(input[start:stop].unsqueeze(0))
        yield Product(other, None, Matrix(len(other), transposed=True), rows, group, routed=True)
        start = stop


def _bilinear(one: Tensor, other: Tensor, weight: Tensor, bias: Tensor | None = None) -> Iterator[Product]:
    outer = one.unsqueeze(-1) * other.unsqueeze(-2)
    yield Product(weight, bias, Kernel(), Rows(outer.reshape(1, -1, outer.shape[-2] * outer.shape[-1])))


def _convolution(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Iterator[Product]:
    kernel = tuple(weight.shape[2:])
    steps, gaps = _each(stride, kernel), _each(dilation, kernel)
    if isinstance(padding, str):
        wholes = [gap * (taps - 1) * (padding == "same") for gap, taps in zip(gaps, kernel, strict=True)]
        sides = tuple((whole // 2, whole - whole // 2) for whole in wholes)
    else:
        sides = tuple((side, side) for side in _each(padding, kernel))
    windows = Windows(_batched(input, kernel), kernel, steps, sides, gaps, groups)
    yield Product(weight, bias, Kernel(groups), windows)


def _transposed_convolution(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Iterator[Product]:
    kernel = tuple(weight.shape[2:])
    gaps = _each(dilation, kernel)
    cut, longer = _each(padding, kernel), _each(output_padding, kernel)
    sides = tuple(
        (gap * (taps - 1) - less, gap * (taps - 1) - less + more)
        for gap, taps, less, more in zip(gaps, kernel, cut, longer, strict=True)
    )
    ones = (1,) * len(kernel)
    windows = Windows(_batched(input, kernel), kernel, ones, sides, gaps, groups, spread=_each(stride, kernel))
    yield Product(weight, bias, TransposedKernel(groups), windows)


def _each(sizes: Sizes, kernel: tuple[int, ...]) -> tuple[int, ...]:
    many = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return many * len(kernel) if len(many) == 1 else many


def _batched(inputs: Tensor, kernel: tuple[int, ...]) -> Tensor:
    return inputs if inputs.dim() > 1 + len(kernel) else inputs.unsqueeze(0)


def _cell(
    input: Tensor,  # noqa: A002
    state: Tensor | Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Iterator[Product]:
    hidden = state if isinstance(state, Tensor) else state[0]
    yield from _linear(input, w_ih, b_ih)
    yield from _linear(hidden, w_hh, b_hh)


def _recurrent(function: Callable[..., Any], *arguments: Any, **named: Any) -> Iterator[Product]:
    """Layers and directions one after another, each run by itself.

    The arguments are those of ``torch.lstm`` and the like: of whole sequences, or of packed ones.
    """
    packed = isinstance(arguments[3], list | tuple)
    if packed:
        data, sizes, state, weights, biases, layers, *_, bidirectional = arguments
        x, lengths = pad_packed_sequence(PackedSequence(data, sizes))
    else:
        x, state, weights, biases, layers, *_, bidirectional, batch_first = arguments
        x, lengths = x.transpose(0, 1) if batch_first else x, None
    directions = 2 if bidirectional else 1
    each = len(weights) // (layers * directions)
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            at = layer * directions + direction
            own = weights[at * each : (at + 1) * each]
            start = tuple(one[at : at + 1] for one in state) if isinstance(state, tuple | list) else state[at : at + 1]
            steps = _turned(x, lengths) if direction else x
            run = partial(function, steps, start, own, biases, 1, 0.0, False, False, False)
            yield Product(own[0], own[2] if biases else None, Matrix(), _valid(steps, lengths))
            before = torch.cat([start[0] if isinstance(start, tuple) else start, run()[0][:-1]])
            yield Product(own[1], own[3] if biases else None, Matrix(), _valid(before, lengths))
            if layer + 1 < layers:
                outputs.append(_turned(run()[0], lengths) if direction else run()[0])
        if outputs:
            x = torch.cat(outputs, dim=-1)


def _turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Sequences (time, batch, channels) from their end to their beginning, padding left at the end."""
    if lengths is None:
        return x.flip(0)
    time = torch.arange(len(x), device=x.device).unsqueeze(1)
    last = lengths.to(x.device).unsqueeze(0) - 1
    order = torch.where(time <= last, last - time, time)
    return x.gather(0, order.unsqueeze(-1).expand_as(x))


def _valid(x: Tensor, lengths: Tensor | None) -> Rows:
    """The steps (time, batch, channels) that are no padding."""
    if lengths is None:
        return Rows(x.reshape(1, -1, x.shape[-1]))
    inside = torch.arange(len(x), device=x.device).unsqueeze(1) < lengths.to(x.device).unsqueeze(0)
    return Rows(x[inside].unsqueeze(0))


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    width: int,
    heads: int,
    in_weight: Tensor | None,
    in_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero: bool,
    dropout: float,
    out_weight: Tensor,
    out_bias: Tensor | None,
    **named: Any,
) -> Iterator[Product]:
    """The projections into ``F.multi_head_attention_forward``, then the one out of it."""
    rows = [Rows(given.reshape(1, -1, given.shape[-1])) for given in (query, key, value)]
    if in_weight is not None and query is key and key is value:
        yield Product(in_weight, in_bias, Matrix(), rows[0])
    elif in_weight is not None:
        for group, one in enumerate(rows):
            yield Product(in_weight, in_bias, Matrix(3), one, group)
    else:
        apart = [named[f"{letter}_proj_weight"] for letter in "qkv"]
        for weight, one in zip(apart, rows, strict=True):
            yield Product(weight, None, Matrix(), one)
    same = torch.eye(width, dtype=out_weight.dtype, device=out_weight.device)
    mixed = F.multi_head_attention_forward(
        *(query, key, value, width, heads, in_weight, in_bias, bias_k, bias_v, add_zero, dropout, same, None), **named
    )[0]
    yield Product(out_weight, out_bias, Matrix(), Rows(mixed.reshape(1, -1, width)))


OPERATIONS: dict[Any, Operation] = {
    F.linear: _linear,
    F.bilinear: _bilinear,
    F.multi_head_attention_forward: _attention,
    **dict.fromkeys((torch.matmul, torch.mm, torch.bmm), _matmul),
    **dict.fromkeys((Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.__matmul__), _matmul),
    Tensor.__rmatmul__: _reversed_matmul,
    **dict.fromkeys((torch.addmm, Tensor.addmm), _addmm),
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _convolution),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), _transposed_convolution),
    **dict.fromkeys((torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell), _cell),
    **{run: partial(_recurrent, run) for run in (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)},
    **{
        getattr(owner, name): _grouped_mm
        for owner, name in ((torch, "_grouped_mm"), (F, "grouped_mm"))
        if hasattr(owner, name)
    },
}
"""Function of torch to its adapter."""
