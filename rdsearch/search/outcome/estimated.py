"""The front by accuracies that all points of a search together suggest, instead of by single measurements."""

from __future__ import annotations

from dataclasses import replace

from rdsearch.points.front import Front
from rdsearch.search.outcome.results import Results
from rdsearch.search.study.constraints import feasible
from rdsearch.search.study.curve.estimates import estimates


def estimated_front(results: Results) -> Front:
    """The front of the points' posterior means, by the surrogate of the sampler ``curve``.

    A front of single measurements is made of the luckiest ones: it promises too much, and leaves out points that are as
    good and had no luck. Sizes are those of the files; accuracies and drops are estimates, and so are the constraints'
    verdicts. Points without a file, such as those of a published search, are not on it.
    """
    file = results.folder.search_file()
    accuracies, _ = estimates(results.points, file.space, file.search)
    measured = {(point.trial, point.round): point for point in results.front}
    members = []
    for point, accuracy in zip(results.points, accuracies, strict=True):
        shift = float(accuracy) - point.val_accuracy
        estimate = replace(point, val_accuracy=float(accuracy), accuracy_drop=point.accuracy_drop - shift)
        copy = measured.get((point.trial, point.round))
        path = point.path if copy is None else copy.path
        if path is not None and path.exists() and feasible(estimate, results.constraints):
            test = None if copy is None else copy.test_accuracy
            members.append(replace(estimate, path=path, test_accuracy=test))
    front = results.front
    return Front(
        members,
        baseline_accuracy=front.baseline_accuracy,
        baseline_size_bytes=front.baseline_size_bytes,
        n_validation=front.n_validation,
    )
