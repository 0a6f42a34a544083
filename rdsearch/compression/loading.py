"""Networks in and out of ``.rdz`` files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rdsearch.base.files import write_atomically
from rdsearch.coding.layout import Layout
from rdsearch.coding.networkfile import LayoutOf, NetworkFile, Summary, decode_file, prefix_ends, summarise
from rdsearch.compression.layout import layout_of, registered_layout
from rdsearch.errors import FileFormatError, RdsearchError, TaskError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    N = TypeVar("N", bound=nn.Module)

R = TypeVar("R")
_NAMES_SHOWN = 3


def read_file(path_or_bytes: str | Path | bytes) -> bytes:
    """The bytes of a file, or the bytes given.

    Raises:
        FileFormatError: The file cannot be read.
    """
    if isinstance(path_or_bytes, bytes | bytearray | memoryview):
        return bytes(path_or_bytes)
    if not isinstance(path_or_bytes, str | Path):
        raise FileFormatError(f"{path_or_bytes!r} is neither the path of a .rdz file nor its bytes")
    try:
        return Path(path_or_bytes).read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path_or_bytes} cannot be read: {error.strerror}") from None


def decode(path_or_bytes: str | Path | bytes) -> NetworkFile:
    """Read a ``.rdz`` file into levels and steps.

    Raises:
        FileFormatError: It is not a file that this version can read.
    """
    return _read(path_or_bytes, decode_file)


def summary(path_or_bytes: str | Path | bytes) -> Summary:
    """What is in a ``.rdz`` file, without decoding its levels.

    Raises:
        FileFormatError: It is not a file that this version can read.
    """
    return _read(path_or_bytes, summarise)


def _read(path_or_bytes: str | Path | bytes, reader: Callable[[bytes, LayoutOf], R]) -> R:
    data = read_file(path_or_bytes)
    try:
        return reader(data, registered_layout)
    except FileFormatError as error:
        if isinstance(path_or_bytes, str | Path):
            raise FileFormatError(f"{path_or_bytes}: {error}") from None
        raise


@overload
def load(path_or_bytes: str | Path | bytes, into: None = None) -> dict[str, Tensor]: ...
@overload
def load(path_or_bytes: str | Path | bytes, into: N) -> N: ...
def load(path_or_bytes: str | Path | bytes, into: nn.Module | None = None) -> Any:
    """The network in a ``.rdz`` file.

    Args:
        path_or_bytes: A file's path, or its bytes.
        into: A network of the same architecture, wrapped (``DataParallel``, ``torch.compile``) or not; its parameters
            and buffers are replaced. Weight norm, spectral norm and other parametrisations, which files do not hold,
            are removed from it. What of it is on the meta device, and so holds no values yet, comes to lie on the CPU.

    Returns:
        A state dict of new tensors on the CPU; or ``into``, filled in and ready for use: in evaluation mode.

    Raises:
        FileFormatError: The file cannot be read, is of another architecture than ``into``, or lacks tensors that
            ``into`` has on the meta device.
    """
    import torch

    file = decode(path_or_bytes)
    if into is None:
        return {name: torch.from_numpy(array) for name, array in file.state_dict().items()}
    fill(into, file)
    return into.eval()


def load_tensors(path_or_bytes: str | Path | bytes, names: Sequence[str]) -> dict[str, Tensor]:
    """Single tensors of the network in a ``.rdz`` file, without decoding all of it.

    A network of more than four million weights is coded in segments, of which only those with these tensors are
    decoded; a smaller one is decoded up to the last of them. A file in quality layers is decoded whole.

    Args:
        path_or_bytes: A file's path, or its bytes.
        names: Names of tensors in the network's state dict.

    Returns:
        New tensors on the CPU, in the order of ``names``.

    Raises:
        FileFormatError: The file cannot be read.
        UnknownNameError: The network has no tensor of a name.
    """
    import torch

    state = _read(path_or_bytes, partial(decode_file, only=names)).state_dict()
    return {name: torch.from_numpy(state[name]) for name in names}


def fill(network: nn.Module, file: NetworkFile) -> None:
    """Put a file's values into a network; what it computes at every call, weight norm say, is folded first.

    Raises:
        FileFormatError: The network's tensors are not those of the file, or cannot be filled.
    """
    import torch

    from rdsearch.base.network.computed import fold_computed
    from rdsearch.base.network.wrappers import unwrapped
    from rdsearch.tasks.weights.template import require_plain

    network = unwrapped(network)
    try:
        require_plain(network, values=False)
    except TaskError as error:
        raise FileFormatError(f"the file cannot be put into this network: {error}") from None
    fold_computed(network)
    wanted, found = _described(layout_of(network)), _described(file.layout)
    if wanted != found:
        names = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        raise FileFormatError(
            "the file is of another architecture than the network given: "
            + "; ".join(
                f"{name} is {found.get(name, 'missing')} in the file, {wanted.get(name, 'missing')} in the network"
                for name in names[:_NAMES_SHOWN]
            )
            + (f"; and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")
        )
    _leave_meta(network)
    own = network.state_dict()
    with torch.no_grad():
        for name, array in file.tensors():  # one at a time in float32, beside the network
            own[name].copy_(torch.from_numpy(array))


def _leave_meta(network: nn.Module) -> None:
    """Give what lies on the meta device room on the CPU; shared parameters stay shared.

    Raises:
        FileFormatError: Something lies there that is in no state dict, so that no file can fill it.
    """
    import torch
    from torch import nn

    filled = set(network.state_dict())
    places = [
        (module, name, f"{path}.{name}" if path else name, tensor)
        for path, module in network.named_modules()
        for tensors in (module._parameters, module._buffers, vars(module))
        for name, tensor in tensors.items()
        if isinstance(tensor, torch.Tensor) and tensor.is_meta
    ]
    if lost := [path for _, _, path, _ in places if path not in filled]:
        raise FileFormatError(
            f"the network given is on the meta device, and no file can fill {', '.join(lost[:_NAMES_SHOWN])} of it, "
            "which its state_dict() does not have: make the network on the CPU"
        )
    made: dict[int, torch.Tensor] = {}
    for module, name, _, tensor in places:
        if id(tensor) not in made:
            empty = torch.empty_like(tensor, device="cpu")
            made[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
        # Not into the module's own table: recurrent layers keep a list of their weights beside it.
        setattr(module, name, made[id(tensor)])


def _described(layout: Layout) -> dict[str, str]:
    """What two networks must share to hold the same values, by name."""
    return {
        entry.name: f"{entry.shape}, eps {entry.note}" if entry.kind == "batchnorm" else str(entry.shape)
        for entry in layout.entries
    }


def save_state(state: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a state dict as ``.safetensors``, whole or not at all.

    Raises:
        RdsearchError: The file cannot be written.
    """
    from safetensors.numpy import save

    try:
        write_atomically(path, save(dict(state)))
    except OSError as error:
        raise RdsearchError(f"{path} cannot be written: {error.strerror or error}") from None


def truncated(path_or_bytes: str | Path | bytes, max_bytes: int) -> bytes:
    """The finest network in a file that fits into ``max_bytes``: the file's bytes up to the end of a quality layer.

    Raises:
        FileFormatError: Not even the first layer fits, or it is not a file that this version can read.
    """
    data = read_file(path_or_bytes)
    ends = prefix_ends(data)
    fitting = [end for end in ends if end <= max_bytes]
    if fitting:
        decode(data[: fitting[-1]])
        return data[: fitting[-1]]
    decode(data)
    what = (
        "in a single quality layer" if len(ends) == 1 else f"of which the first quality layer alone takes {ends[0]:,}"
    )
    raise FileFormatError(
        f"the file holds one network of {len(data):,} bytes {what}, which cannot be cut to {max_bytes:,} bytes; "
        f"take a smaller file from the front (`rdsearch front DIR --max-bytes {max_bytes}`)"
    )
