"""Calls of torch through which channels can be followed: what each makes of them.

A function here takes the arguments of a call by name, the first one as ``input``, and its result. It returns whether
the call kept channels apart; where it did not, whatever the call has touched is left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from rdsearch.base.network.channels.groups import Groups, Place

Arguments = Mapping[str, Any]
Follow = Callable[[Groups, Arguments, Tensor], bool]


def reads(groups: Groups, source: Tensor, weight: Tensor, axis: int) -> None:
    """A layer reads what its input carries along an axis, by the second axis of its weight."""
    place = groups.place(source)
    if place is not None and place.axis == axis:
        groups.carry(place.group, weight, 1, place.repeat, read=True)
    else:
        groups.leave_out(source)
    if place is None:
        groups.carry(groups.new(weight.shape[1], whole=False), weight, 1, read=True)


def _linear(groups: Groups, given: Arguments, result: Tensor) -> bool:
    source, weight = given["input"], given["weight"]
    reads(groups, source, weight, source.dim() - 1)
    return _makes(groups, weight, given.get("bias"), result, result.dim() - 1)


def _convolution(groups: Groups, given: Arguments, result: Tensor) -> bool:
    source, weight, parts = given["input"], given["weight"], given.get("groups", 1)
    if source.dim() != weight.dim():
        return False
    if parts == 1:
        reads(groups, source, weight, 1)
        return _makes(groups, weight, given.get("bias"), result, 1)
    place = groups.place(source)
    depthwise = parts == source.shape[1] == result.shape[1]
    if place is None or not depthwise or place.axis != 1:
        return False
    carried = groups.carry(place.group, weight, 0, place.repeat)
    return carried and groups.carry(place.group, given.get("bias"), 0, place.repeat) and groups.put(result, place)


def _makes(groups: Groups, weight: Tensor, bias: Tensor | None, result: Tensor, axis: int) -> bool:
    group = groups.new(result.shape[axis])
    groups.carry(group, weight, 0)
    groups.carry(group, bias, 0)
    return groups.put(result, Place(group, axis, 1))


def _normalisation(groups: Groups, given: Arguments, result: Tensor) -> bool:
    """Of single channels: batch and instance normalisation."""
    place = groups.place(given["input"])
    if place is None or place.axis != 1:
        return False
    return all(
        groups.carry(place.group, given.get(name), 0, place.repeat)
        for name in ("weight", "bias", "running_mean", "running_var")
    ) and groups.put(result, place)


def _layer_normalisation(groups: Groups, given: Arguments, result: Tensor) -> bool:
    """Over the channels alone, which it treats alike."""
    place = groups.place(given["input"])
    if place is None or len(given["normalized_shape"]) != 1 or place.axis != result.dim() - 1:
        return False
    return all(
        groups.carry(place.group, given.get(name), 0, place.repeat) for name in ("weight", "bias")
    ) and groups.put(result, place)


def _alike(groups: Groups, given: Arguments, result: Tensor) -> bool:
    """Each entry by itself, or within its channel: activations, pooling over space, casts."""
    place = groups.place(given["input"])
    others = [value for name, value in given.items() if name != "input" and isinstance(value, Tensor)]
    return (
        place is not None
        and all(value.numel() == 1 for value in others)
        and result.dim() == given["input"].dim()
        and result.shape[place.axis] == given["input"].shape[place.axis]
        and groups.put(result, place)
    )


def _pooling(groups: Groups, given: Arguments, result: Tensor) -> bool:
    place = groups.place(given["input"])
    return place is not None and place.axis == 1 and _alike(groups, given, result)


def _prelu(groups: Groups, given: Arguments, result: Tensor) -> bool:
    place = groups.place(given["input"])
    slopes = given["weight"]
    if place is None or place.axis != 1:
        return False
    return (slopes.numel() == 1 or groups.carry(place.group, slopes, 0, place.repeat)) and groups.put(result, place)


def _reshaped(groups: Groups, given: Arguments, result: Tensor) -> bool:
    """Axes that are merged into the channels' from behind make each channel several adjacent entries."""
    source = given["input"]
    place = groups.place(source)
    if place is None:
        return False
    size, before, after = source.shape[place.axis], source.shape[: place.axis], source.shape[place.axis + 1 :]
    for axis, length in enumerate(result.shape):
        merged = length // size
        if (
            size > 1
            and merged * size == length
            and prod(result.shape[:axis]) == prod(before)
            and prod(result.shape[axis + 1 :]) * merged == prod(after)
        ):
            return groups.put(result, Place(place.group, axis, place.repeat * merged))
    return False


def _reduced(groups: Groups, given: Arguments, result: Tensor) -> bool:
    """A mean, sum or maximum over other axes than the channels'."""
    source, over = given["input"], given.get("dim")
    place = groups.place(source)
    if place is None or over is None:
        return False
    axes = {axis % source.dim() for axis in ([over] if isinstance(over, int) else over)}
    if place.axis in axes:
        return False
    gone = 0 if given.get("keepdim") else sum(axis < place.axis for axis in axes)
    return groups.put(result, Place(place.group, place.axis - gone, place.repeat))


def _permuted(groups: Groups, given: Arguments, result: Tensor) -> bool:
    source = given["input"]
    place = groups.place(source)
    dims = given.get("dims")
    if place is None or dims is None:
        return False
    axes = [axis % source.dim() for axis in dims]
    return groups.put(result, Place(place.group, axes.index(place.axis), place.repeat))


def _transposed(groups: Groups, given: Arguments, result: Tensor) -> bool:
    source = given["input"]
    place = groups.place(source)
    if place is None:
        return False
    first, second = given["dim0"] % source.dim(), given["dim1"] % source.dim()
    axis = {first: second, second: first}.get(place.axis, place.axis)
    return groups.put(result, Place(place.group, axis, place.repeat))


def _indexed(groups: Groups, given: Arguments, result: Tensor) -> bool:
    """Entries along other axes than the channels'; one of several groups that are stacked along the first axis."""
    source, index = given["input"], given.get("index")
    index = index if isinstance(index, tuple) else (index,)
    if any(entry is not None and entry is not ... and not isinstance(entry, int | slice) for entry in index):
        return False
    place, stack = groups.place(source), groups.stacked(source)
    if len(stack) == len(source) and isinstance(index[0], int) and len(index) == 1:
        return groups.put(result, Place(stack[index[0]], result.dim() - 1, 1))
    if place is None:
        return False
    missing = source.dim() - sum(entry is not None and entry is not ... for entry in index)
    at = index.index(...) if ... in index else len(index)
    entries = [*index[:at], *[slice(None)] * missing, *index[at + 1 :]]
    source_axis = result_axis = 0
    for entry in entries:
        if source_axis == place.axis and entry is not None:
            return entry == slice(None) and groups.put(result, Place(place.group, result_axis, place.repeat))
        source_axis += entry is not None
        result_axis += not isinstance(entry, int)
    return False


def _combined(groups: Groups, given: Arguments, result: Tensor) -> bool:
    """Entry by entry with another tensor: the channels of both are joined."""
    pair = [given["input"], given["other"]]
    places = [groups.place(value) for value in pair]
    known = [(place, value) for place, value in zip(places, pair, strict=True) if place is not None]
    if not known:
        return False
    # Axes are counted from the last: shapes are broadcast from there.
    place, source = known[0]
    behind = source.dim() - place.axis
    group, repeat = place.group, place.repeat
    for other_place, value in zip(places, pair, strict=True):
        if other_place is not None:
            if value.dim() - other_place.axis != behind or not groups.join(place, other_place):
                return False
        elif isinstance(value, Tensor) and value.dim() >= behind and value.shape[-behind] != 1:
            axis = value.dim() - behind
            if value.numel() != value.shape[axis] or not groups.carry(group, value, axis, repeat):
                return False
    return groups.put(result, Place(group, result.dim() - behind, repeat))


_ACTIVATIONS = [
    "relu",
    "relu6",
    "gelu",
    "silu",
    "mish",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "hardtanh",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "softplus",
    "softsign",
    "logsigmoid",
    "threshold",
    "rrelu",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
    "clamp",
    "clamp_min",
    "clamp_max",
    "clip",
    "abs",
    "neg",
    "exp",
    "sqrt",
    "rsqrt",
    "square",
    "pow",
    "contiguous",
    "clone",
    "detach",
    "to",
    "float",
    "half",
    "double",
    "bfloat16",
    "type_as",
]
_POOLINGS = [
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "interpolate",
    "upsample",
]
_PAIRS = [
    "add",
    "sub",
    "mul",
    "div",
    "true_divide",
    "maximum",
    "minimum",
    "iadd",
    "isub",
    "imul",
    "itruediv",
    "radd",
    "rmul",
    "truediv",
]
FOLLOWED: dict[str, Follow] = {
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("batch_norm", "instance_norm"), _normalisation),
    "layer_norm": _layer_normalisation,
    "prelu": _prelu,
    **dict.fromkeys(_ACTIVATIONS, _alike),
    **dict.fromkeys(_POOLINGS, _pooling),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"), _reshaped),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduced),
    "permute": _permuted,
    "transpose": _transposed,
    "getitem": _indexed,
    **dict.fromkeys(_PAIRS, _combined),
}
_BEHIND_INPUT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), ("weight", "bias", "stride", "padding", "dilation", "groups")),
    "linear": ("weight", "bias"),
    "prelu": ("weight",),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), ("dim", "keepdim")),
    "transpose": ("dim0", "dim1"),
    "getitem": ("index",),
    **dict.fromkeys(_PAIRS, ("other",)),
}
"""Names of positional arguments, of functions that have no signature in Python."""


def bound(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments | None:
    """The arguments of a call by name, its first one as ``input``; ``None`` where they are not understood."""
    if "self" in kwargs or (not args and "input" not in kwargs):
        return None
    named = {"input": args[0], **kwargs} if args else dict(kwargs)
    if "out" in named:
        return None
    if name == "permute":
        dims = args[1:] if len(args) > 2 else args[1] if len(args) == 2 else named.get("dims")
        return named | {"dims": dims}
    behind = _BEHIND_INPUT.get(name)
    if behind is None:
        function = getattr(F, name, None)
        names = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
        behind = tuple(names[1:])
    named |= dict(zip(behind, args[1:], strict=False))
    if FOLLOWED[name] is _combined and "other" not in named:
        return None
    if "axis" in named:
        named["dim"] = named.pop("axis")
    return named
