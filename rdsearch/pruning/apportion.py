"""A whole number shared out between layers, in proportion and within limits."""

from __future__ import annotations

from collections.abc import Sequence

from rdsearch.errors import PruningError


def apportion(shares: Sequence[float], caps: Sequence[int], floors: Sequence[int], total: int) -> list[int]:
    """Whole counts that sum to ``total``, proportional to ``shares`` as far as the limits allow.

    The real-valued solution is ``clip(t * share, floor, cap)`` with the one ``t`` that meets the total
    (water-filling: a layer at its cap leaves the rest to the others in their proportion, as the densities of
    ERK do). It is then rounded by the largest remainder, the earlier layer first where remainders are equal.
    Whole shares that meet the total within the limits come back unchanged.

    Args:
        shares: Non-negative weights of the proportion; a share of 0 gets its floor and no more.
        caps: Largest count of each layer.
        floors: Smallest count of each layer, at most its cap.
        total: What the counts sum to.

    Raises:
        PruningError: No counts within the limits have this sum; the message says which sums are possible.
    """
    ceilings = [cap if share > 0 else floor for share, cap, floor in zip(shares, caps, floors, strict=True)]
    lowest, highest = sum(floors), sum(ceilings)
    if not lowest <= total <= highest:
        raise PruningError(
            f"{total} survivors cannot be shared out: the layers together keep at least {lowest} and at most {highest}"
        )
    scale = _scale(shares, ceilings, floors, total)
    exact = [
        min(max(scale * share, floor), ceiling) for share, floor, ceiling in zip(shares, floors, ceilings, strict=True)
    ]
    return _round_to(exact, ceilings, total)


def _scale(shares: Sequence[float], caps: Sequence[int], floors: Sequence[int], total: int) -> float:
    """The ``t`` at which ``sum(clip(t * share, floor, cap))``, which grows with ``t``, meets ``total``."""

    def filled(scale: float) -> float:
        return sum(min(max(scale * share, floor), cap) for share, floor, cap in zip(shares, floors, caps, strict=True))

    limits = [(floor, cap, share) for share, floor, cap in zip(shares, floors, caps, strict=True) if share]
    bends = sorted({limit / share for floor, cap, share in limits for limit in (floor, cap)})
    if not bends or filled(bends[0]) >= total:
        return bends[0] if bends else 0.0
    low, high = 0, len(bends) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if filled(bends[middle]) < total else (low, middle)
    middle_of_piece = (bends[low] + bends[high]) / 2
    free = sum(share for floor, cap, share in limits if floor < middle_of_piece * share < cap)
    if not free:
        return bends[high]
    return middle_of_piece + (total - filled(middle_of_piece)) / free


def _round_to(exact: Sequence[float], caps: Sequence[int], total: int) -> list[int]:
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    missing = total - sum(counts)
    while missing > 0:
        for i in by_remainder:
            if missing > 0 and counts[i] < caps[i]:
                counts[i] += 1
                missing -= 1
    return counts
