"""Repositories on the Hugging Face Hub, through its own client."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rdsearch.errors import RdsearchError


def upload(folder: Path, repo: str, *, private: bool) -> str:
    """Make a repository where there is none, and put a folder into it in one commit.

    Args:
        folder: All that is to be in it; what was there under ``front/`` and is not in it goes.
        repo: ``owner/name``.
        private: Whether a new one is private.

    Returns:
        The commit's address.

    Raises:
        RdsearchError: The client is missing, or the Hub refuses or is not reached.
    """
    client = _client()
    with _told(repo):
        api = client.HfApi(library_name="rdsearch")
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message="Push from rdsearch", delete_patterns=["front/*"]
        )
    return str(commit.commit_url)


@contextmanager
def downloaded(repo: str) -> Iterator[Path]:
    """A folder with a repository's files, as long as the block lasts.

    Raises:
        RdsearchError: The client is missing, or the repository is not there or not reached.
    """
    client = _client()
    with tempfile.TemporaryDirectory(prefix="rdsearch-pull-") as folder:
        with _told(repo):
            client.HfApi(library_name="rdsearch").snapshot_download(
                repo, local_dir=folder, allow_patterns=["README.md", "config.json", "front/*"]
            )
        yield Path(folder)


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise RdsearchError(
            "repositories on the Hugging Face Hub need its client: `pip install 'rdsearch[hub]'`; a folder (./name) "
            "does not"
        ) from error
    return huggingface_hub


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """What goes wrong with a server, in one sentence."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # the client's own errors and those of its transport
        said = " ".join(str(error).split()) or type(error).__name__
        raise RdsearchError(
            f"{repo}: {said[:300]} (`hf auth login` logs in; a folder of the same layout is ./name)"
        ) from error
