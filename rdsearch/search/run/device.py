"""The device that a trial computes on: the GPU that Ray gave to its worker, or the processor."""

from __future__ import annotations

import os

VISIBLE = "CUDA_VISIBLE_DEVICES"


def claim_device(share: float) -> str:
    """Take the GPU that Ray gave to this worker, and no more of its memory than the worker's share.

    Shares do not isolate memory by themselves: without the limit the first trial on a GPU may take what the others
    need. With it a trial that asks for too much meets an out-of-memory error of its own. Without a GPU from Ray, a
    worker still sees every GPU of its machine, so what torch finds is no guide.

    Args:
        share: Of one GPU; 1 or more is all of it.

    Returns:
        torch's name of the device, ``"cpu"`` where there is no GPU.
    """
    import ray
    import torch

    identities = [str(identity) for identity in ray.get_gpu_ids()]
    if not identities or not torch.cuda.is_available():
        return "cpu"
    index = device_index(identities[0], os.environ.get(VISIBLE))
    if share < 1:
        torch.cuda.set_per_process_memory_fraction(share, index)
    return f"cuda:{index}"


def device_index(identity: str, visible: str | None) -> int:
    """Torch's index of a GPU, which counts the visible ones alone.

    Args:
        identity: Ray's, a number or a UUID.
        visible: ``CUDA_VISIBLE_DEVICES``; Ray sets it to the worker's GPUs unless it was told not to.
    """
    if visible is None:
        return int(identity)
    listed = visible.split(",")
    return listed.index(identity) if identity in listed else 0
