"""The task that a search file names."""

from __future__ import annotations

from rdsearch.config.searchfile import SearchFile
from rdsearch.errors import SearchError
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.task import Task


def task_of(file: SearchFile) -> Task:
    """The task that a search file names.

    Raises:
        SearchError: It names none, since the search was begun with a `Task` object.
    """
    if file.task is None:
        raise SearchError(
            "this search was begun with a Task object: from Python, give the same one as task= to rdsearch.resume "
            "or rdsearch.score_on_test"
        )
    return load_task(file.task)
