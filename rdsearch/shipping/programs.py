"""A network as programs that run without its Python class: torch's (``.pt2``) and ONNX's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rdsearch.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.export import ExportedProgram

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
"""Of ONNX: the oldest that torch's exporter writes without a conversion, read by onnxruntime 1.14 and later."""


class CannotExportError(TaskError):
    """A network that does not become a program."""


@dataclass(frozen=True)
class Program:
    """A file that runs without the network's class.

    Attributes:
        path: The file.
        network: Runs the file as it lies on disk, for an evaluation.
    """

    path: Path
    network: nn.Module


class _Runner(nn.Module):
    """What runs elsewhere, as a module without parameters, so that a task's own evaluation can score it."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._run = run

    def forward(self, inputs: Tensor) -> Tensor:
        return self._run(inputs)


def export(network: nn.Module, example: Any) -> ExportedProgram:
    """A network as a graph with any number of examples in a batch.

    Args:
        network: On the CPU, in evaluation mode.
        example: Inputs of two examples or more.

    Raises:
        CannotExportError: It takes or returns something else than one tensor, or torch cannot trace it.
    """
    if not isinstance(example, Tensor):
        raise CannotExportError(f"it takes a {type(example).__name__}, and a program here takes one tensor")
    batch = torch.export.Dim.DYNAMIC
    with torch.no_grad(), _quiet():
        try:
            if not isinstance(network(example), Tensor):
                raise CannotExportError("its output is no tensor")
            return torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
        except CannotExportError:
            raise
        except Exception as error:  # whatever in a network's code torch cannot trace
            raise CannotExportError(f"torch.export cannot trace it ({_first_line(error)})") from error


def write_torch_program(program: ExportedProgram, path: Path) -> Program:
    """Write a ``.pt2`` file, which torch alone runs, and read it back."""
    with _quiet():
        torch.export.save(program, path)
        loaded = torch.export.load(path).module()

    def run(inputs: Tensor) -> Tensor:
        output: Tensor = loaded(inputs)
        return output

    # As a function: an exported module refuses the change of mode that an evaluation begins with.
    return Program(path, _Runner(run))


def missing_onnx_packages() -> list[str]:
    """What of ONNX's packages is not installed."""
    return [name for name in ONNX_PACKAGES if find_spec(name) is None]


def write_onnx(program: ExportedProgram, path: Path) -> Program:
    """Write an ``.onnx`` file of `OPSET`, weights inside, check it and open it with onnxruntime.

    Raises:
        CannotExportError: An operation of the network has no counterpart there.
    """
    import onnx
    import onnxruntime

    try:
        with _quiet():
            made = torch.onnx.export(
                program, input_names=["input"], output_names=["output"], opset_version=OPSET, verbose=False
            )
            if made is None:
                raise CannotExportError("torch.onnx returned nothing")
            made.save(path, external_data=False)
        onnx.checker.check_model(path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except CannotExportError:
        raise
    except Exception as error:  # the exporter's and onnxruntime's errors share no class
        raise CannotExportError(f"torch.onnx cannot write it ({_first_line(error)})") from error

    def run(inputs: Tensor) -> Tensor:
        (output,) = session.run(None, {"input": inputs.detach().cpu().numpy()})
        return torch.from_numpy(output).to(inputs.device)

    return Program(path, _Runner(run))


def opset_of(path: Path) -> int:
    """The version of ONNX's operators that a file asks for."""
    import onnx

    versions = {entry.domain: entry.version for entry in onnx.load(path, load_external_data=False).opset_import}
    return int(versions[""])


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters announce their own plans as warnings and log lines."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: Exception) -> str:
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {said[0][:200]}" if said else type(error).__name__
