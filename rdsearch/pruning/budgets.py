"""Budgets: multipliers of the layers' survivors, on top of what a method allocates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rdsearch.base.patterns import matches, require_matches
from rdsearch.errors import PruningError
from rdsearch.pruning.apportion import apportion
from rdsearch.pruning.layers import Allocation, Choice, Layers

# Beyond this a multiplier is a slip, and ratios of counts lose their digits.
LARGEST_MULTIPLIER = 1e6


def layer_multipliers(names: Sequence[str], budgets: Mapping[str, float]) -> list[float]:
    """Multiplier of each layer: that of the first pattern that matches it, else 1.

    Raises:
        PruningError: A pattern matches nothing, or a multiplier is negative, not finite or beyond 1e6.
    """
    for pattern, multiplier in budgets.items():
        if not (multiplier == 0 or 1 / LARGEST_MULTIPLIER <= multiplier <= LARGEST_MULTIPLIER):
            raise PruningError(
                f"budgets: multiplier {multiplier} of {pattern!r} is not allowed. Give 0, which empties the "
                f"layer, or a number from {1 / LARGEST_MULTIPLIER:g} to {LARGEST_MULTIPLIER:g}."
            )
    require_matches(budgets, names, "budgets")
    return [next((float(m) for p, m in budgets.items() if matches(name, p)), 1.0) for name in names]


def budgeted(allocate: Allocation, layers: Layers, multipliers: Sequence[float], survivors: int) -> Choice:
    """The method's choice for the number of survivors at which its counts, multiplied, meet the total.

    Multipliers are relative, so the smallest is taken as 1 and the method is asked for fewer survivors than
    are kept. The layer with the smallest multiplier is then cut where the method would cut it, and every
    other layer still holds what the method would have left: rounds in a row end where one round would, and a
    multiplier neither compounds nor fades over the rounds.

    Args:
        allocate: The method's allocation.
        layers: The weights.
        multipliers: One a layer; 0 empties it.
        survivors: What the counts sum to.

    Returns:
        The choice with exact counts. A layer that is alive keeps at least 1, unless its multiplier is 0.
    """
    floors = [floor if m > 0 else 0 for floor, m in zip(layers.floors, multipliers, strict=True)]
    smallest = min((m for m in multipliers if m > 0), default=1.0)
    relative = [m / smallest for m in multipliers]

    def shares(counts: Sequence[int]) -> list[float]:
        # A layer to which the method gives nothing takes part as if it had its floor.
        return [max(count, floor) * m for count, floor, m in zip(counts, floors, relative, strict=True)]

    # No count shrinks when it is multiplied, so that fewer than the survivors do, unless layers are emptied.
    low, high = 0, survivors if min(multipliers) > 0 else sum(layers.caps)
    if all(m == 1 for m in relative):
        low = high
    while low < high:
        middle = (low + high) // 2
        wanted = shares(allocate(middle).counts)
        filled = sum(min(share, cap) for share, cap in zip(wanted, layers.caps, strict=True))
        low, high = (middle + 1, high) if filled < survivors else (low, middle)
    choice = allocate(low)
    return Choice(apportion(shares(choice.counts), layers.caps, floors, survivors), choice.scores)
