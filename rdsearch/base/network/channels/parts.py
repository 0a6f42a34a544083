"""Calls whose weights carry channels in parts: gates of recurrent layers, heads of attention.

A unit of a recurrent layer is a row in each of its gates. The heads of attention can change places, and so can the
channels inside a head: those of queries with those of keys, those of values with the columns of the projection that
reads them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from rdsearch.base.network.channels.calls import reads
from rdsearch.base.network.channels.groups import Group, Groups, Place
from rdsearch.base.network.outputs import tensors_of

Follow = Callable[[Groups, str, Sequence[Any], Mapping[str, Any], Any], bool]

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def _units(groups: Groups, weights: Sequence[Tensor], biases: Sequence[Tensor], gates: int) -> Group | None:
    """The units of one recurrent layer in one direction; `None` where its state is not its units."""
    into, back = weights
    count = back.shape[1]
    if back.shape[0] != gates * count or into.shape[0] != gates * count:
        return None
    group = groups.new(count)
    for tensor in (into, back, *biases):
        groups.carry_part(group, tensor, 0, f"{gates} gates", blocks=gates)
    groups.carry(group, back, 1, read=True)
    return group


def _recurrent(groups: Groups, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> bool:
    """All layers of an LSTM, GRU or plain recurrent network over a sequence: torch.lstm and its like.

    Only from a state of zeros: any other has an order of its own.
    """
    at = next((index for index, value in enumerate(args) if isinstance(value, list)), None)
    if at is None or kwargs or len(args) < at + 6 or not all(map(groups.zero, tensors_of(args[at - 1]))):
        return False
    source, parameters = args[0], args[at]
    biased, layers, _, _, both = args[at + 1 : at + 6]
    each, directions = (4 if biased else 2), (2 if both else 1)
    if len(parameters) != each * layers * directions:
        return False
    before: list[Group] = []
    found: list[Group] = []
    for layer in range(layers):
        here: list[Group] = []
        for direction in range(directions):
            first = each * (layer * directions + direction)
            weights, biases = parameters[first : first + 2], parameters[first + 2 : first + each]
            if layer == 0:
                reads(groups, source, weights[0], source.dim() - 1)
            for number, group in enumerate(before):
                start, form = number * group.count, f"{directions} directions"
                groups.carry_part(group, weights[0], 1, form, start=start, read=True)
            units = _units(groups, weights, biases, _GATES[name.partition("_")[0]])
            if units is None:
                return False
            here.append(units)
        before = here
        found += here
    outputs, *states = result
    for state in states:
        groups.stack(state, found)
    if both:
        return groups.stack(outputs, before)
    return groups.put(outputs, Place(before[0], outputs.dim() - 1, 1))


def _cell(groups: Groups, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> bool:
    """One step of a recurrent layer: torch.lstm_cell and its like."""
    if kwargs or len(args) < 4:
        return False
    source, state, *weights = args
    into, back, *biases = weights
    reads(groups, source, into, source.dim() - 1)
    group = _units(groups, (into, back), biases, _GATES[name.partition("_")[0]])
    if group is None:
        return False
    for tensor in tensors_of(state):
        place = groups.place(tensor)
        here = Place(group, tensor.dim() - 1, 1)
        if place is None and not groups.zero(tensor):
            return False
        if place is not None and (place.axis != here.axis or not groups.join(place, here)):
            return False
    return all(groups.put(one, Place(group, one.dim() - 1, 1)) for one in tensors_of(result))


_ATTENTION = tuple(inspect.signature(F.multi_head_attention_forward).parameters)
_UNUSUAL = ("bias_k", "bias_v", "static_k", "static_v")


def _attention(groups: Groups, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> bool:
    """Attention with all its projections: torch.nn.functional.multi_head_attention_forward."""
    given = dict(zip(_ATTENTION, args, strict=False)) | dict(kwargs)
    heads, out, bias = given["num_heads"], given["out_proj_weight"], given["in_proj_bias"]
    mask = given.get("attn_mask")
    if any(given.get(one) is not None for one in _UNUSUAL):
        return False
    apart = bool(given.get("use_separate_proj_weight"))
    weights = [given[f"{one}_proj_weight"] for one in "qkv"] if apart else [given["in_proj_weight"]] * 3
    for source, weight in zip((given["query"], given["key"], given["value"]), weights, strict=True):
        reads(groups, source, weight, source.dim() - 1)
    output, averages = result
    whole = (averages is None or given.get("average_attn_weights", True)) and (mask is None or mask.dim() == 2)
    _heads(groups, heads, weights, bias, out, apart=apart, whole=whole)
    made = groups.new(out.shape[0])
    groups.carry(made, out, 0)
    groups.carry(made, given["out_proj_bias"], 0)
    return groups.put(output, Place(made, output.dim() - 1, 1))


def _heads(
    groups: Groups,
    heads: int,
    weights: Sequence[Tensor],
    bias: Tensor | None,
    out: Tensor,
    *,
    apart: bool,
    whole: bool,
) -> None:
    """The heads, where they are alike (``whole``), and the channels inside each."""
    width = out.shape[1]
    inside, form = width // heads, f"{heads} heads"
    if whole:
        group = groups.new(heads)
        for tensor, blocks in ([(weight, 1) for weight in weights] if apart else [(weights[0], 3)]) + [(bias, 3)]:
            groups.carry_part(group, tensor, 0, form, repeat=inside, blocks=blocks)
        groups.carry_part(group, out, 1, form, repeat=inside, read=True)
    for first in range(0, width, inside):
        pairs, values = groups.new(inside), groups.new(inside)
        # Keys stand for what reads the queries: the product of both is a sum over their channels.
        for number, group in enumerate((pairs, pairs, values)):
            start = number * width + first
            groups.carry_part(group, weights[number], 0, form, start=first if apart else start, read=number == 1)
            groups.carry_part(group, bias, 0, form, start=start, read=number == 1)
        groups.carry_part(values, out, 1, form, start=first, read=True)


IN_PARTS: dict[str, Follow] = {
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _cell),
    "multi_head_attention_forward": _attention,
}
