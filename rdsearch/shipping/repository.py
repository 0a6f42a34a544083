"""Files of a front as a repository in Hugging Face's layout: a model card, a configuration, the files themselves.

A repository is a folder: pushing makes one and uploads it where it is to go to a server, pulling fetches one and checks
it. Nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdsearch import __version__
from rdsearch.base.files import write_atomically
from rdsearch.errors import RdsearchError
from rdsearch.points.point import OperatingPoint
from rdsearch.search.outcome.manifest import baseline_of
from rdsearch.search.outcome.results import Results, file_of, read_results
from rdsearch.shipping.repository_card import repository_card

CONFIG, CARD, FRONT = "config.json", "README.md", "front"

FORMAT = 1
"""Of `CONFIG`; another number is refused."""

LISTED = re.compile(r"front/[A-Za-z0-9_][A-Za-z0-9_.-]*\.(rdz|recipe\.yaml|safetensors)")
"""Names that a repository's configuration may list: nothing outside of its own folder of files."""

_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Repository:
    """What was pushed or pulled.

    Attributes:
        place: The folder, or the address on the server.
        sizes: Each file's bytes, by its name.
    """

    place: str
    sizes: dict[str, int]


def is_local(repo: str) -> bool:
    """Whether a repository is a folder here (``./x``, ``/x``, ``~/x``) and not one on a server (``owner/name``).

    Raises:
        RdsearchError: It is neither.
    """
    if repo.startswith((".", "/", "~")):
        return True
    if not _REPOSITORY.fullmatch(repo):
        raise RdsearchError(f"{repo!r} is no repository: give owner/name, or a folder as ./{repo}")
    return False


def push(
    directory: str | Path,
    repo: str,
    *,
    points: Sequence[OperatingPoint] | None = None,
    safetensors: bool = False,
    private: bool = False,
) -> Repository:
    """Put files of a search's front into a repository; what was pushed there before is replaced.

    Every file is decoded once before anything is written or sent.

    Args:
        directory: The search's folder.
        repo: ``owner/name`` on the Hugging Face Hub, or a folder as ``./name``.
        points: Of the front, with files; all of them when not given.
        safetensors: Whether the decoded weights are put beside each file.
        private: Whether a repository that is made on the Hub is private.

    Raises:
        RdsearchError: The place holds something else, or the Hub refuses.
        SearchError: A file is not there.
        FileFormatError: A file is damaged.
    """
    results = read_results(directory)
    local = is_local(repo)
    out = Path(repo).expanduser().absolute() if local else None
    if out is not None:
        _check_free(out)
    with tempfile.TemporaryDirectory(prefix=".push-", dir=None if out is None else out.parent) as made:
        folder = Path(made) / "repository"
        sizes = _fill(folder, results, list(points or results.front), safetensors)
        if out is None:
            from rdsearch.shipping.hub import upload

            return Repository(upload(folder, repo, private=private), sizes)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    return Repository(str(repo), sizes)


def pull(repo: str, out: str | Path) -> Repository:
    """Fetch a repository that `push` made, and check every file's length and SHA-256.

    Args:
        repo: As for `push`.
        out: The folder to make; one that was pulled or pushed before is replaced.

    Raises:
        RdsearchError: It is not there, is no such repository, or a file is missing or damaged.
    """
    out = Path(out).expanduser().absolute()
    _check_free(out)
    source = Path(repo).expanduser().absolute() if is_local(repo) else None
    with _fetched(source, repo) as fetched, tempfile.TemporaryDirectory(prefix=".pull-", dir=out.parent) as made:
        config = read_config(Path(fetched), repo)
        folder, sizes = Path(made) / "repository", {}
        for name, told in {**config["files"], CONFIG: None, CARD: None}.items():
            path = Path(fetched) / name
            if not path.is_file():
                raise RdsearchError(f"{repo}: {name} is missing")
            if told is not None and (path.stat().st_size, _sha256(path)) != (told["size_bytes"], told["sha256"]):
                raise RdsearchError(f"{repo}: {name} is not what {CONFIG} says: it is damaged, or was changed since")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
            sizes[name] = path.stat().st_size
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    return Repository(str(out), sizes)


def read_config(folder: Path, repo: str) -> dict[str, Any]:
    """What a repository says of its files.

    Raises:
        RdsearchError: It is no repository of rdsearch, or one of a newer version.
    """
    try:
        config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        known = isinstance(config, dict) and config.get("library") == "rdsearch"
        if known and config["format"] != FORMAT:
            raise RdsearchError(f"{repo}: {CONFIG} is of format {config['format']!r}, this rdsearch reads {FORMAT}")
        names = list(config["files"]) if known else []
        sound = known and all(
            LISTED.fullmatch(name) and isinstance(told["size_bytes"], int) and isinstance(told["sha256"], str)
            for name, told in config["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RdsearchError(f"{repo} is no repository that rdsearch has pushed: {CONFIG}: {error}") from error
    if not sound or not names:
        raise RdsearchError(f"{repo} is no repository that rdsearch has pushed: its {CONFIG} lists other files")
    return dict(config)


def _fill(folder: Path, results: Results, points: list[OperatingPoint], safetensors: bool) -> dict[str, int]:
    from rdsearch.compression.loading import decode, save_state

    (folder / FRONT).mkdir(parents=True)
    listed: list[dict[str, Any]] = []
    for point in points:
        source = file_of(point)
        network = decode(source)
        recipe = source.with_suffix(".recipe.yaml")
        for path in (source, recipe):
            shutil.copyfile(path, folder / FRONT / path.name)
        entry = {"file": f"{FRONT}/{source.name}", "recipe": f"{FRONT}/{recipe.name}"}
        if safetensors:
            weights = folder / FRONT / source.with_suffix(".safetensors").name
            save_state(network.state_dict(), weights)
            entry["safetensors"] = f"{FRONT}/{weights.name}"
        listed.append(entry | _figures(point))
    files = {path.relative_to(folder).as_posix(): path for path in sorted((folder / FRONT).iterdir())}
    manifest = results.manifest
    baseline = baseline_of(manifest)
    config = {
        "library": "rdsearch",
        "format": FORMAT,
        "version": __version__,
        "task": manifest["task"],
        "score": manifest["score"],
        "inputs": manifest["inputs"],
        "dense": {"size_bytes": baseline.size_bytes, "val_accuracy": baseline.accuracy},
        "points": listed,
        "files": {name: {"size_bytes": path.stat().st_size, "sha256": _sha256(path)} for name, path in files.items()},
        "search": {key: manifest[key] for key in ("name", "created", "seed", "versions", "split_fingerprints")},
    }
    write_atomically(folder / CONFIG, json.dumps(config, indent=2))
    write_atomically(folder / CARD, repository_card(config, results.n_validation))
    return {name: (folder / name).stat().st_size for name in (CARD, CONFIG, *files)}


def _figures(point: OperatingPoint) -> dict[str, Any]:
    return {
        "size_bytes": point.size_bytes,
        "val_accuracy": point.val_accuracy,
        "accuracy_drop": point.accuracy_drop,
        "test_accuracy": point.test_accuracy,
        "compression_ratio": point.compression_ratio,
        "sparsity": point.sparsity,
        "trial": point.trial,
        "round": point.round,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_free(out: Path) -> None:
    """A place where a repository may be made: nothing, an empty folder, or a repository that was made before."""
    if not out.parent.is_dir():
        raise RdsearchError(f"{out}: there is no folder {out.parent}")
    if not out.exists():
        return
    held = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if held and not (CONFIG in held and held <= {CONFIG, CARD, FRONT}):
        raise RdsearchError(f"{out} holds something else than a repository of rdsearch: give another folder")
    if held:
        listed = read_config(out, str(out))["files"]
        others = [path for path in (out / FRONT).rglob("*") if path.relative_to(out).as_posix() not in listed]
        if others:
            raise RdsearchError(f"{others[0]} is none of the repository's files, and would be lost: move it away first")


def _fetched(source: Path | None, repo: str) -> AbstractContextManager[str | Path]:
    if source is None:
        from rdsearch.shipping.hub import downloaded

        return downloaded(repo)
    if not source.is_dir():
        raise RdsearchError(f"{repo}: there is no such folder")
    return nullcontext(source)
