"""A search file with what it leaves open chosen for its task."""

from __future__ import annotations

from rdsearch.compression.kind import kind_of
from rdsearch.config.defaults import completed, leaves_quantizer_open
from rdsearch.config.searchfile import SearchFile, check_search
from rdsearch.tasks.task import Task


def completed_for(file: SearchFile, task: Task) -> tuple[SearchFile, list[str]]:
    """The file as a search's ``config.yaml`` keeps it, and a line for each choice; see `rdsearch.config.defaults`."""
    kind = kind_of(task, look=leaves_quantizer_open(file.tree))
    tree, chosen = completed(file.tree, kind)
    return check_search(tree, source=file.name, name=file.name, own_task=file.task is None), chosen
