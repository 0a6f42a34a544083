"""Accuracies as all points of a search together suggest them, the luck of single measurements taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rdsearch.config.searchfile import SearchConfig
from rdsearch.config.space import RecipeSpace
from rdsearch.points.point import OperatingPoint
from rdsearch.search.study.curve.encoding import Encoding
from rdsearch.search.study.curve.process import Process, fit_kernel
from rdsearch.search.study.curve.recipes import RoundCurves
from rdsearch.search.study.curve.surrogate import inputs_of
from rdsearch.search.study.distributions import distribution

AT_LEAST = 12
"""Points; fewer say nothing of each other."""
_AT_MOST = 800
_FITTED = 250


def estimates(
    points: Sequence[OperatingPoint], space: RecipeSpace, config: SearchConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and standard deviation of each point's accuracy, by the surrogate that the sampler has.

    Args:
        points: Points of one search; the newest are learnt from where they are many.
        space: Its search space.
        config: Its constraints.

    Returns:
        Two arrays (n,); the measured accuracies and NaN where there is too little to learn from.
    """
    measured = np.array([point.val_accuracy for point in points])
    known = np.flatnonzero(np.isfinite(measured))
    domains = space.parameters
    curves = RoundCurves(config, space, lambda trial: [])
    for name in curves.pinned:
        del domains[name]
    if len(known) < AT_LEAST or not domains:
        return measured, np.full(len(points), math.nan)
    encoding = Encoding({name: distribution(each) for name, each in domains.items()}, [])
    rows = np.array([encoding.encode({name: point.parameters[name] for name in domains}) for point in points])
    positions = np.array([curves.positions(point.parameters, np.array([float(point.round)])) for point in points])
    inputs = inputs_of(rows, positions, encoding.numbers)[:, 0]
    scale = curves.scale_of(points[known[0]])
    latents = scale.latent(measured)
    learnt = known[-_AT_MOST:]
    some = learnt[np.unique(np.linspace(0, len(learnt) - 1, min(len(learnt), _FITTED)).astype(int))]
    targets = (latents[some] - latents[some].mean()) / max(float(latents[some].std()), 1e-6)
    process = Process(fit_kernel(inputs[some], targets, encoding.numbers + 1), inputs[learnt], latents[learnt])
    means, deviations = process.mean(inputs), process.deviation(inputs)
    accuracy = scale.quality(means)
    spread = (scale.quality(means + deviations) - scale.quality(means - deviations)) / 2
    return accuracy, spread
