"""The task of a search: the one that its file names, with the dense weights that the search keeps."""

from __future__ import annotations

from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load, save

from rdsearch.config.searchfile import SearchFile
from rdsearch.errors import SearchError
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.trust import require_trust
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.task import Task
from rdsearch.tasks.weights.state import State


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


def searched_task(folder: SearchFolder, task: Task | None = None) -> Task:
    """The task of a search that may have begun.

    Where its dense weights were trained for this search, they are those that the search keeps: a training on another
    instruction set gives other bits, and takes as long as the first one did.

    Args:
        folder: The search's.
        task: The task, when it is not the one that the search file names.

    Raises:
        SearchError: The task names functions of somebody else's, the training has changed since, or the kept weights
            are damaged and not known here otherwise.
    """
    if task is None:
        require_trust(folder)
        task = task_of(folder.search_file())
    kept = folder.read_manifest().get("dense") if folder.manifest.exists() else None
    if kept is None or not task.trains_dense:
        return task
    if kept["training"] != task.training_fingerprint:
        raise SearchError(
            f"the dense network of {folder.address} was trained in another way, or on other data: put task.train and "
            "the data back to go on, or start a new search in another folder"
        )
    data = folder.read_dense(kept["sha256"])
    try:
        if data is not None:
            task.use_dense(_read_only(load(data), task))
            return task
    except SafetensorError:
        pass
    if not task.is_trained:
        raise SearchError(
            f"{folder.dense} is missing or damaged: put a copy of it back. (The dense weights belong to the search; "
            "to train them again takes long, and on another machine gives others.)"
        )
    return task


def keep_dense(folder: SearchFolder, task: Task) -> dict[str, Any]:
    """Put the dense weights into the search's folder, where they were trained; what the manifest says of them."""
    if not task.trains_dense:
        return {}
    sha256 = folder.write_dense(save(dict(task.dense_state())))
    return {"dense": {"sha256": sha256, "training": task.training_fingerprint}}


def _read_only(state: State, task: Task) -> State:
    for array in state.values():
        array.flags.writeable = False
    return {name: state[name] for name in task.fresh_network().state_dict() if name in state}
