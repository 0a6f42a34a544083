"""Parts of a data set: train, validation, test."""

from __future__ import annotations

from rdsearch.tasks.splits.array import ArraySplit
from rdsearch.tasks.splits.base import Batch, Split
from rdsearch.tasks.splits.coerce import SplitLike, as_split
from rdsearch.tasks.splits.cut import cut_validation, draw_subset
from rdsearch.tasks.splits.loader import LoaderSplit

__all__ = ["ArraySplit", "Batch", "LoaderSplit", "Split", "SplitLike", "as_split", "cut_validation", "draw_subset"]
