"""A network watched while it runs: every product of a weight, in the order in which it is computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rdsearch.base.network.inputs import Inputs, forward
from rdsearch.base.network.modes import as_in_use
from rdsearch.base.network.outputs import tensors_of
from rdsearch.quantization.batchnorm import batchnorm_layers
from rdsearch.quantization.forms import Form, Matrix
from rdsearch.quantization.inputs import on_input
from rdsearch.quantization.operations import OPERATIONS, Product


@dataclass
class Use:
    """What a network does with a weight.

    Attributes:
        forms: How it is matrices, in all products.
        biases: Names of what is added to the products; ``None`` where it is nothing that could be changed alone.
        calls: Products in a forward pass.
        normalised: Batch normalisations that are given the very products, one for each that is.
        looked_up: How often each row was looked up: (rows,), int64; ``None`` where none is.
        otherwise: Functions that take it and are neither products nor look rows up.
    """

    forms: set[Form] = field(default_factory=set)
    biases: set[str | None] = field(default_factory=set)
    calls: int = 0
    normalised: list[str] = field(default_factory=list)
    looked_up: Tensor | None = None
    otherwise: set[str] = field(default_factory=set)

    @property
    def form(self) -> Form | None:
        """How the weight is matrices, where that is the same in all that is done with it."""
        return next(iter(self.forms)) if len(self.forms) == 1 and not self.otherwise else None


@dataclass(frozen=True)
class Seen:
    """What a network was seen to do.

    Attributes:
        uses: By name, of the weights that were met, in the order in which they were.
        normalisations: How often each batch normalisation ran.
    """

    uses: Mapping[str, Use]
    normalisations: Mapping[str, int]


Look = Callable[[str, Product], None]
"""Called with a weight's name and a product before it is computed; may change the weight's values."""


class Watch(TorchFunctionMode):
    """Calls a function for each product of a weight.

    Args:
        network: Whose parameters are looked for.
        names: Of the weights.
        look: Gets the products, their form that of the whole parameter.

    Attributes:
        uses: By name, of the weights that were met, in the order in which they were.
        normalisations: How often each batch normalisation ran.
    """

    def __init__(self, network: nn.Module, names: Iterator[str] | list[str], look: Look) -> None:
        super().__init__()
        parameters = {name: network.get_parameter(name) for name in names}
        self.uses: dict[str, Use] = {}
        self.normalisations: dict[str, int] = {}
        self._weights = {id(parameter): (name, parameter) for name, parameter in parameters.items()}
        self._names = {id(parameter): name for name, parameter in network.named_parameters()}
        self._look = look
        self._outputs: dict[str, weakref.ref[Tensor]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        met = {self._weights[key][0] for tensor in _tensors(args, kwargs) if (key := self._key(tensor)) is not None}
        if not met:
            return func(*args, **kwargs)
        if func is F.embedding and self._looked_up(*args, **kwargs):
            return func(*args, **kwargs)
        if func not in OPERATIONS:
            output = func(*args, **kwargs)
            if any(not self._is_plain(tensor) for tensor in tensors_of(output)):
                for name in met:
                    self._use(name).otherwise.add(getattr(func, "__name__", str(func)))
            return output
        found = [name for product in OPERATIONS[func](*args, **kwargs) for name in self._seen(product)]
        output = func(*args, **kwargs)
        if isinstance(output, Tensor):
            self._outputs.update(dict.fromkeys(found, weakref.ref(output)))
        return output

    @property
    def seen(self) -> Seen:
        """What it has seen so far, without the network."""
        return Seen(self.uses, self.normalisations)

    def normalises(self, layer: str, inputs: Tensor) -> None:
        """Take note of what a batch normalisation is given."""
        self.normalisations[layer] = self.normalisations.get(layer, 0) + 1
        for name, output in self._outputs.items():
            if output() is inputs:
                self.uses[name].normalised.append(layer)

    def _seen(self, product: Product) -> Iterator[str]:
        key = self._key(product.weight)
        if key is None:
            return
        name, parameter = self._weights[key]
        place = _place(product.weight, parameter)
        use = self._use(name)
        if place is None or (parameter is not product.weight and not isinstance(product.form, Matrix)):
            use.otherwise.add("a part of it")
            return
        group, flipped = place
        form = product.form
        if isinstance(form, Matrix):
            form = Matrix(form.groups if group is None else len(parameter), form.transposed ^ flipped)
        routed = product.routed or group is not None
        use.forms.add(form)
        use.biases.add(self._bias(product.bias, form, parameter))
        use.calls += 1
        self._look(name, replace(product, form=form, group=product.group if group is None else group, routed=routed))
        yield name

    def _looked_up(self, input: Tensor, weight: Tensor, *_: Any, **__: Any) -> bool:  # noqa: A002
        """Take note of rows that are looked up, if it is a weight's."""
        key = self._key(weight)
        if key is None or self._weights[key][1] is not weight:
            return False
        use = self._use(self._weights[key][0])
        counts = torch.bincount(input.flatten(), minlength=len(weight))
        use.looked_up = counts if use.looked_up is None else use.looked_up + counts
        return True

    def _bias(self, bias: Tensor | None, form: Form, parameter: Tensor) -> str | None:
        rows = form.groups * form.matrices(parameter).shape[1]
        return self._names.get(id(bias)) if bias is not None and bias.numel() == rows else None

    def _use(self, name: str) -> Use:
        return self.uses.setdefault(name, Use())

    def _key(self, tensor: Tensor) -> int | None:
        """Of the weight that a tensor is, or is a view of."""
        for owner in (tensor, tensor._base):
            if owner is not None and id(owner) in self._weights:
                return id(owner)
        return None

    def _is_plain(self, tensor: Tensor) -> bool:
        """Whether this is a weight, or a part of one that products are found by."""
        key = self._key(tensor)
        return key is not None and _place(tensor, self._weights[key][1]) is not None


def _place(view: Tensor, parameter: Tensor) -> tuple[int | None, bool] | None:
    """The matrix of a parameter that a view is, or ``None`` for all, and whether it is transposed."""
    if view.shape == parameter.shape and view.stride() == parameter.stride():
        return None, False
    if parameter.dim() < 2:
        return None
    turned = parameter.mT
    if view.shape == turned.shape and view.stride() == turned.stride():
        return None, True
    if parameter.dim() == 3 and view.dim() == 2 and parameter.stride(0) > 0:
        group, rest = divmod(int(view.storage_offset() - parameter.storage_offset()), parameter.stride(0))
        for whole, flipped in ((parameter, False), (turned, True)):
            if rest == 0 and view.shape == whole.shape[1:] and view.stride() == whole.stride()[1:]:
                return group, flipped
    return None


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (entry for entry in value if isinstance(entry, Tensor))


@contextmanager
def watching(network: nn.Module, watch: Watch) -> Iterator[None]:
    """Evaluation mode without gradients, watched; afterwards every module's mode is as it was.

    Not inference mode: what a network keeps of a run (tables of encodings, say) must be fit for training.
    """
    handles = [on_input(layer, partial(watch.normalises, name)) for name, layer in batchnorm_layers(network).items()]
    try:
        with as_in_use(network), torch.no_grad(), watch:
            yield
    finally:
        for handle in handles:
            handle.remove()


def run_watched(network: nn.Module, names: list[str], inputs: Inputs, look: Look) -> Watch:
    """One forward pass, watched."""
    watch = Watch(network, names, look)
    with watching(network, watch):
        forward(network, inputs)
    return watch
