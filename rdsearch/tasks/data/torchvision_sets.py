"""Finding, downloading and reading the data sets of ``torchvision.datasets``."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

from rdsearch.errors import MissingDataError, TaskError
from rdsearch.tasks.downloads import downloads_allowed
from rdsearch.tasks.folders import DATA_VARIABLE, data_folders


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def open_dataset(dataset: type[Any], root: Path | None, files: str, **arguments: Any) -> Any:
    """Open a torchvision data set where it lies; download it, checksums and all, where it does not.

    Args:
        dataset: A class of ``torchvision.datasets`` that takes ``root`` and ``download``.
        root: The only folder looked at, when given; see :func:`rdsearch.tasks.folders.data_folders`.
        files: Where the files belong inside the folder, for the message.
        **arguments: Further arguments of the class, as ``train``.

    Raises:
        MissingDataError: It lies nowhere and cannot be downloaded; the message says how to place the files.
        TaskError: Its files are damaged.
    """
    folders = data_folders(root)
    for folder in folders:
        try:
            return dataset(str(folder), download=False, **arguments)
        except (RuntimeError, ValueError, AssertionError, EOFError, pickle.UnpicklingError) as error:
            if "download=True" in str(error):  # torchvision's way to say that it is not there
                continue
            raise TaskError(
                f"{dataset.__name__} in {folder} is damaged ({error}): remove {files}, they are then fetched again"
            ) from None
    name = dataset.__name__
    if not downloads_allowed():
        raise MissingDataError(f"{name} is not in {' or '.join(map(str, folders))}")
    reasons = []
    for folder in folders:
        if not os.access(_nearest_existing(folder), os.W_OK):
            reasons.append(f"{folder} cannot be written")
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A half-finished file fails its checksum at the next call and is fetched again.
            return dataset(str(folder), download=True, **arguments)
        except (OSError, RuntimeError) as error:
            reasons.append(f"the download to {folder} failed ({' '.join(str(error).split())})")
    raise MissingDataError(
        f"{name} is not in {' or '.join(map(str, folders))}, and " + "; ".join(reasons) + f". Put {files} into one "
        f"of these folders, or name the folder that holds it: task.root, or the variable {DATA_VARIABLE}."
    )
