"""Where to compute, and how a network lies there."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rdsearch.base.network.outputs import tensors_of
from rdsearch.base.randomness import isolated_rng
from rdsearch.errors import TaskError


def choose_device() -> torch.device:
    """The first GPU, where there is one that this process may see, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def checked_device(device: str | torch.device | None) -> torch.device:
    """A device that a user named; what :func:`choose_device` finds when none was.

    Raises:
        TaskError: torch knows no such device, or this machine has none.
    """
    if device is None:
        return choose_device()
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise TaskError(
            f"device = {device!r} cannot be used here: {reason}. Give 'cpu', 'cuda' or 'cuda:1', or none "
            "for the first GPU where there is one"
        ) from None
    return place


def of_doubles(device: torch.device) -> torch.device:
    """Where float64 is computed for a device: there, or on the CPU for Apple's GPUs, which have none."""
    return torch.device("cpu") if device.type == "mps" else device


def doubles(tensor: Tensor) -> Tensor:
    """A tensor in float64, see `of_doubles` for where."""
    # Moved before: what has no float64 cannot convert to it on the way either.
    return tensor.to(of_doubles(tensor.device)).double()


def exact_kernels() -> AbstractContextManager[None]:
    """Convolutions inside are float32 on a GPU too, not TensorFloat-32, and the same each time."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster on a device than in float32, and not imitated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Told by torch from 2.11 on.
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(told.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def memory_of(device: torch.device) -> int:
    """Bytes that this process may take of a device's memory: of a GPU all, or its share; elsewhere nobody counts."""
    if device.type != "cuda":
        return sys.maxsize
    # Not every function of torch takes "cuda" for the GPU that is current.
    index = torch.cuda.current_device() if device.index is None else device.index
    return int(torch.cuda.get_device_properties(index).total_memory * torch.cuda.get_per_process_memory_fraction(index))


def uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, on its way while the caller goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    # A copy from memory that may be paged out would wait for what the GPU has been told before.
    return tensor.pin_memory().to(device, non_blocking=True)


def release_gpu() -> None:
    """Give memory that is not in use any more back to the GPU, where this process has used one."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()


IMAGE_AXES = 4
"""Of the weights of a two-dimensional convolution, and of a batch of images."""

PROBED = 2
"""Images that a network is tried on."""


def arrange(network: nn.Module, inputs: Any) -> list[Tensor]:
    """Lay out convolutions of images channels last, in place, where the network takes that.

    Half-precision convolutions are faster so on a GPU, and convolutions and pooling on a CPU: ResNet-20 takes three
    quarters of the time. A network whose ``forward`` views its activations as they lie in memory
    (``x.view(len(x), -1)``) cannot be run that way, which passes over two images show, nor may one whose outputs would
    lie so, as others may view them; it stays as it is.

    Args:
        network: On the device of ``inputs``, in the mode that it will be run in.
        inputs: A batch; nothing happens where it is none of images (batch, channels, height, width).

    Returns:
        The tensors whose layout has changed, which :func:`contiguous` puts back.
    """
    if not isinstance(inputs, Tensor) or inputs.ndim != IMAGE_AXES:
        return []
    changed = channels_last(network)
    if changed and not _runs(network, inputs[:PROBED]):
        contiguous(changed)
        return []
    return changed


def channels_last(network: nn.Module) -> list[Tensor]:
    """Lay out the weights of convolutions of images channels last, in place; those that did not lie so before.

    ``network.to(memory_format=torch.channels_last)`` fails for convolutions of volumes, whose weights have five axes.
    """
    changed = [
        tensor
        for tensor in [*network.parameters(), *network.buffers()]
        if tensor.ndim == IMAGE_AXES and not tensor.is_contiguous(memory_format=torch.channels_last)
    ]
    for tensor in changed:
        tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return changed


def contiguous(tensors: Iterable[Tensor]) -> None:
    """Put tensors into the usual layout, in place."""
    for tensor in tensors:
        tensor.data = tensor.data.contiguous()


def _runs(network: nn.Module, inputs: Tensor) -> bool:
    """Whether passes end well, in its mode and for use; they leave no trace in modes, statistics or random state."""
    training = [module for module in network.modules() if module.training]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        with isolated_rng(0), torch.no_grad():
            outputs = list(tensors_of(network(inputs)))
            network.eval()
            outputs += tensors_of(network(inputs))
    except Exception:  # whatever is wrong beyond the layout comes to light when the network is really run
        return False
    finally:
        with torch.no_grad():
            for buffer, values in buffers:
                buffer.copy_(values)
        for module in training:
            module.training = True
    return all(output.is_contiguous() for output in outputs)
