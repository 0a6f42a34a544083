"""From a point of a front to a folder for others, every file in it checked before the folder gets its name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdsearch.base.files import write_atomically
from rdsearch.errors import RdsearchError, SearchError
from rdsearch.points.point import OperatingPoint
from rdsearch.search.outcome.manifest import baseline_of
from rdsearch.search.outcome.results import Results, file_of, read_results
from rdsearch.search.outcome.testsplit import EXAMPLES
from rdsearch.search.task import task_of
from rdsearch.shipping.card import KNOWN_FILES, Facts, card, ordered

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from rdsearch.tasks.task import Task

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Shipment:
    """What was shipped.

    Attributes:
        folder: Where it lies.
        point: What it was made from.
        sizes: Each file's bytes, by its name.
        checked: What was found of each file that was run.
        notes: What is missing, and why; a sentence each.
    """

    folder: Path
    point: OperatingPoint
    sizes: dict[str, int]
    checked: dict[str, str]
    notes: list[str]


def ship(
    directory: str | Path,
    point: OperatingPoint,
    out: str | Path,
    *,
    task: Task | None = None,
    command: str | None = None,
) -> Shipment:
    """Make a folder of a point of a search's front: weights, programs, ``predict.py`` and a model card.

    Each file is read back and run before the folder is there: weights have to give the same outputs bit by bit, and
    programs the same score on the validation part. The test split is not read.

    Args:
        directory: The search's folder.
        point: Of its front, with a file.
        out: The folder to make; one that was shipped before is replaced as a whole.
        task: The task, if the search was begun with one.
        command: The command line that the card names.

    Raises:
        SearchError: ``out`` holds something else, the task has changed since the search, or the file does not do what
            the search measured.
        TaskError: The task cannot be made.
    """
    results, out = read_results(directory), Path(out).absolute()
    _check_free(out)
    task = task or task_of(results.folder.search_file())
    if task.validation.fingerprint != results.manifest["split_fingerprints"]["validation"]:
        raise SearchError("the task has changed since the search: its validation part differs")
    with _made_whole(out) as folder:
        return _fill(folder, out, results, point, task, command)


def _fill(
    folder: Path, out: Path, results: Results, point: OperatingPoint, task: Task, command: str | None
) -> Shipment:
    from rdsearch.shipping.checks import example_of
    from rdsearch.shipping.programs import CannotExportError, export

    source = file_of(point)
    write_atomically(folder / "network.rdz", source.read_bytes())
    example = example_of(task.validation)
    network, checked = _weights(folder, task, point, example)
    notes: list[str] = []
    inputs = _inputs(task, example)
    try:
        program = export(network, example)
    except CannotExportError as error:
        notes.append(
            f"network.pt2, network.onnx and predict.py are left out: {error}. Load network.safetensors into the "
            "network's own class."
        )
    else:
        _programs(folder, task, point, program, checked, notes)
        _script(folder, task, inputs, example)
    recipe = source.with_suffix(".recipe.yaml")
    write_atomically(folder / "recipe.yaml", recipe.read_bytes())
    _write_provenance(folder, results, point, command)
    sizes = {path.name: path.stat().st_size for path in ordered(folder)}
    facts = _facts(results, point, task, inputs, recipe, command, sizes, checked, notes)
    write_atomically(folder / "README.md", card(facts))
    sizes["README.md"] = (folder / "README.md").stat().st_size
    return Shipment(out, point, sizes, checked, notes)


def _weights(folder: Path, task: Task, point: OperatingPoint, example: Any) -> tuple[nn.Module, dict[str, str]]:
    """The decoded network, on the CPU, once it is known to do what the search measured; its weights are written."""
    from safetensors.torch import load_file

    from rdsearch.compression.loading import decode, load, save_state
    from rdsearch.compression.measure import score_file
    from rdsearch.shipping.checks import check_same_outputs, same_score

    rdz, weights = folder / "network.rdz", folder / "network.safetensors"
    scored = score_file(task, rdz)
    if not same_score(task, scored.score, point.val_accuracy):
        raise SearchError(
            f"{point.path} scores {scored.score:.4f} on the validation part, and {point.val_accuracy:.4f} in the "
            "search: the network's code or the file has changed since"
        )
    network = load(rdz, into=task.fresh_network())
    save_state(decode(rdz).state_dict(), weights)
    again = task.fresh_network()
    again.load_state_dict(load_file(weights))
    check_same_outputs(network, again, example)
    return network, {
        "network.rdz": f"decoded: {scored.text}",
        "network.safetensors": f"same outputs as network.rdz, bit by bit, on {len(_first(example))} examples",
    }


def _first(example: Any) -> Any:
    from rdsearch.base.network.outputs import tensors_of

    return next(iter(tensors_of(example)))


def _programs(
    folder: Path,
    task: Task,
    point: OperatingPoint,
    program: ExportedProgram,
    checked: dict[str, str],
    notes: list[str],
) -> None:
    """Write what runs without the network's class, and keep what scores as the file does."""
    from rdsearch.shipping.checks import same_score, score_on_cpu
    from rdsearch.shipping.programs import (
        CannotExportError,
        missing_onnx_packages,
        opset_of,
        write_onnx,
        write_torch_program,
    )

    made = [("torch", write_torch_program, folder / "network.pt2")]
    if missing := missing_onnx_packages():
        notes.append(
            f"network.onnx is left out: {', '.join(missing)} not installed here (`pip install 'rdsearch[onnx]'`)."
        )
    else:
        made.append(("onnxruntime", write_onnx, folder / "network.onnx"))
    for runtime, write, path in made:
        try:
            written = write(program, path)
        except CannotExportError as error:
            path.unlink(missing_ok=True)
            notes.append(f"{path.name} is left out: {error}.")
            continue
        score = score_on_cpu(task, written.network)
        if not same_score(task, score, point.val_accuracy):
            path.unlink()
            notes.append(
                f"{path.name} is left out: run by {runtime} it scores {score:.4f} on the validation part, where the "
                f"file scores {point.val_accuracy:.4f}."
            )
            continue
        opset = f"opset {opset_of(path)}; " if path.suffix == ".onnx" else ""
        checked[path.name] = f"{opset}run by {runtime} {_version(runtime)}: {task.score_text(score)}"


def _inputs(task: Task, example: Any) -> dict[str, Any]:
    """What ``predict.py`` has to know."""
    from torch import Tensor

    told = dict(task.inputs)
    if isinstance(example, Tensor):
        told = {"shape": list(example.shape[1:]), "dtype": str(example.dtype).removeprefix("torch."), **told}
    return told | {"classes": task.is_accuracy}


def _script(folder: Path, task: Task, inputs: dict[str, Any], example: Any) -> None:
    from rdsearch.shipping.checks import check_inputs

    check_inputs(task.validation, inputs, example)
    script = files("rdsearch.shipping").joinpath("predict.py").read_text(encoding="utf-8")
    write_atomically(folder / "predict.py", script)
    write_atomically(folder / "inputs.json", json.dumps(inputs, indent=2))


def _facts(
    results: Results,
    point: OperatingPoint,
    task: Task,
    inputs: dict[str, Any],
    recipe: Path,
    command: str | None,
    sizes: dict[str, int],
    checked: dict[str, str],
    notes: list[str],
) -> Facts:
    n_test = results.folder.read_tests().get(EXAMPLES)
    baseline = baseline_of(results.manifest)
    return Facts(
        point=point,
        n_validation=results.n_validation,
        n_test=int(n_test) if n_test is not None and task.is_accuracy else None,
        n_front=len(results.front),
        minimized=task.direction == "minimize",
        baseline={"accuracy": baseline.accuracy, "size_bytes": baseline.size_bytes},
        inputs=inputs,
        recipe=recipe.read_text(encoding="utf-8"),
        manifest=results.manifest,
        command=command,
        sizes=sizes,
        checked=checked,
        notes=notes,
    )


def _write_provenance(folder: Path, results: Results, point: OperatingPoint, command: str | None) -> None:
    told = {
        "shipped_by": {"command": command, "rdsearch": _version("rdsearch"), "torch": _version("torch")},
        "trial": point.trial,
        "round": point.round,
        "parameters": dict(point.parameters),
        "size_bytes": point.size_bytes,
        "val_accuracy": point.val_accuracy,
        "test_accuracy": point.test_accuracy,
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in ordered(folder)},
        "search": results.manifest,
    }
    write_atomically(folder / PROVENANCE, json.dumps(told, indent=2))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


def _check_free(out: Path) -> None:
    """A place where a folder may be made: nothing, an empty folder, or one that was shipped before."""
    if not out.parent.is_dir():
        raise SearchError(f"{out}: there is no folder {out.parent}")
    if not out.exists():
        return
    held = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if held and not (PROVENANCE in held and held <= KNOWN_FILES):
        raise SearchError(f"{out} holds something else than a shipped network: give another --output")


@contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends well, and goes when it does not."""
    unique = os.urandom(6).hex()
    folder, former = (out.with_name(f".{out.name}.{unique}.{what}") for what in ("tmp", "old"))
    try:
        folder.mkdir()
        yield folder
        if out.exists():
            out.replace(former)
        folder.replace(out)
    except OSError as error:
        raise RdsearchError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)
