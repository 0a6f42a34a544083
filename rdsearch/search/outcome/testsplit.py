"""The one reader of the test split: once, at the end, for the files on the front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rdsearch.base.device import choose_device
from rdsearch.compression.loading import load
from rdsearch.compression.measure import dense_network
from rdsearch.errors import SearchError
from rdsearch.points.front import Front
from rdsearch.search.outcome.results import Results, digest, file_of, read_results, write_results
from rdsearch.search.store.trust import trust as give_trust
from rdsearch.search.task import searched_task
from rdsearch.tasks.task import Task

BASELINE = "baseline"
"""Under this key the dense network's test score is kept beside the files'."""

EXAMPLES = "examples"
"""And under this one the number of examples in the test split."""


def score_on_test(directory: str | Path, *, task: Task | None = None, trust: bool = False) -> Front:
    """Read the test split, once, for the files on a search's front, and write what it says beside them.

    Args:
        directory: The search's folder.
        task: The task, if the search was begun with one.
        trust: Whether functions that the search's task names may run, although this user did not make the folder.

    Returns:
        The front, each point with its ``test_accuracy``.

    Raises:
        SearchError: There is nothing on the front, or the task has changed since the search.
        TaskError: The task has no test split.
    """
    before = read_results(directory)
    if trust:
        give_trust(before.folder)
    read_test_split(before, task=task)
    results = read_results(directory)
    write_results(results)
    return results.front


def read_test_split(results: Results, *, task: Task | None = None, say: Callable[[str], None] = print) -> bool:
    """Score every file on the front on the test split, and record what it says.

    A file that was scored before is not scored again, so the split is read once for a front.

    Args:
        results: The search.
        task: The task, when it is not the one that the search file names.
        say: Where notices go.

    Returns:
        Whether the test split was read; False when every file's score was on record.

    Raises:
        SearchError: There is nothing on the front, or the task has changed since the search.
        TaskError: The task has no test split.
    """
    folder, scores = results.folder, results.folder.read_tests()
    if not len(results.front):
        raise SearchError("nothing is on the front, so there is nothing to test; see `rdsearch front`")
    untested = {digest(point): point for point in results.front}
    untested = {key: point for key, point in untested.items() if key not in scores}
    if not untested:
        return False
    task = searched_task(folder, task)
    if task.fingerprint != results.manifest["task_fingerprint"]:
        raise SearchError("the task has changed since the search: its data, dense weights or validation part differ")
    if scores:
        say(f"The front has changed since the test split was read: {len(untested)} new files are tested now.")
    folder.write_tests(scores)  # a folder that cannot be written is met before the split is read, not after
    device = choose_device()
    split = task.test_split()
    for key, point in untested.items():
        network = load(file_of(point), into=task.fresh_network())
        scores[key] = task.score(network.to(device), device=device, split=split)
    if BASELINE not in scores:
        scores[BASELINE] = task.score(dense_network(task).to(device), device=device, split=split)
    scores[EXAMPLES] = len(split)
    folder.write_tests(scores)
    return True
