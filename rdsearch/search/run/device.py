"""The device that a trial computes on: the GPU that Ray gave to its worker, or the processor."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rdsearch.base.units import format_size
from rdsearch.errors import SearchError

CONTEXT_BYTES = 2**30
"""Of a process on a GPU besides what torch allocates: 760 MiB on an H100 with torch 2.11, once networks have run."""


def claim_device(share: float, taken: Mapping[str, int]) -> str:
    """Take the GPU that Ray gave to this worker, and no more of its memory than the worker's share.

    Shares do not isolate memory by themselves: without the limit the first trial on a GPU may take what the others
    need. With it a trial that asks for too much meets an out-of-memory error of its own. Without a GPU from Ray, a
    worker still sees every GPU of its machine, so what torch finds is no guide.

    Args:
        share: Of one GPU; 1 is all of it.
        taken: See `taken_by_others`.

    Returns:
        torch's name of the device, ``"cpu"`` where there is no GPU.

    Raises:
        SearchError: The GPU has no memory left for the worker.
    """
    import ray
    import torch

    identities = [str(identity) for identity in ray.get_gpu_ids()]
    if not identities or not torch.cuda.is_available():
        return "cpu"
    index = device_index(identities[0], visible_gpus(torch.version.hip is not None))
    if share < 1:
        device = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        limit = memory_limit(share, total, taken.get(str(device.uuid), 0), free)
        if limit <= 0:
            raise SearchError(
                f"resources.gpu: a share of {share:g} of {device.name} leaves a trial no memory: "
                f"{format_size(total)} in all, {format_size(free)} free, and {format_size(CONTEXT_BYTES)} of a share "
                "are for torch itself. Give a greater share, or end what else runs on the GPU"
            )
        torch.cuda.set_per_process_memory_fraction(limit / total, index)
    return f"cuda:{index}"


def memory_limit(share: float, total: int, taken: int, free: int) -> int:
    """What torch may allocate in a process that has a share of a GPU; 0 or less where nothing is left.

    Args:
        share: Of the GPU, below 1.
        total: The GPU's memory, in bytes.
        taken: Bytes of it that no trial can have.
        free: Bytes that nobody has now: fewer than the share where others take more than was known.
    """
    return min(int(share * (total - taken)) - CONTEXT_BYTES, free)


def taken_by_others() -> dict[str, int]:
    """Bytes that are in use of each GPU that this process, the driver, has used, while no trial runs: UUID to bytes.

    They are the driver's own and those of other programs. Without a GPU that it has used a driver takes nothing.
    """
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    found = {}
    for index in range(torch.cuda.device_count()):
        if torch.cuda.max_memory_reserved(index):
            free, total = torch.cuda.mem_get_info(index)
            found[str(torch.cuda.get_device_properties(index).uuid)] = total - free
    return found


def visible_gpus(rocm: bool) -> str | None:
    """The GPUs that this process sees, by the variable that Ray sets; it is another one for AMD's."""
    cuda = os.environ.get("CUDA_VISIBLE_DEVICES")
    return os.environ.get("HIP_VISIBLE_DEVICES", cuda) if rocm else cuda


def device_index(identity: str, visible: str | None) -> int:
    """Torch's index of a GPU, which counts the visible ones alone.

    Args:
        identity: Ray's, a number or a UUID.
        visible: See `visible_gpus`; Ray sets it to the worker's GPUs unless it was told not to.
    """
    if visible is None:
        return int(identity)
    listed = visible.split(",")
    return listed.index(identity) if identity in listed else 0
