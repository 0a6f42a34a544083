"""Networks as Hugging Face's transformers saves them: a folder with ``config.json`` and safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from rdsearch.errors import RdsearchError, TaskError

_CONFIG = "config.json"


@dataclass(frozen=True)
class PretrainedFolder:
    """Makes the network of a folder that ``save_pretrained`` has written, with its weights.

    No code of the folder is run and nothing is unpickled: its configuration names a class of transformers, which reads
    safetensors.

    Attributes:
        path: The folder.
        options: Entries of the configuration to be replaced, such as ``num_labels``.
    """

    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> nn.Module:
        """The network.

        Raises:
            TaskError: The folder is no network of transformers, or lacks its weights.
            RdsearchError: transformers is not installed.
        """
        name = self._class_name()
        try:
            import transformers
        except ImportError as error:
            raise RdsearchError(
                f"{self.path} is a network of transformers, which is not installed: `pip install transformers`"
            ) from error
        kind = getattr(transformers, name, None)
        if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
            raise TaskError(
                f"{self.path / _CONFIG} names {name}, which is no class of transformers {transformers.__version__}: "
                "networks with code of their own are named as package.module:factory"
            )
        screen: Any = transformers.utils.logging
        bars = screen.is_progress_bar_enabled()
        screen.disable_progress_bar()
        try:
            made: nn.Module = kind.from_pretrained(
                self.path, local_files_only=True, use_safetensors=True, **self.options
            )
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            raise TaskError(f"{self.path}: {name} cannot be made of it: {error}") from error
        finally:
            if bars:
                screen.enable_progress_bar()
        return made

    def _class_name(self) -> str:
        try:
            config = json.loads((self.path / _CONFIG).read_text(encoding="utf-8"))
            (name,) = config["architectures"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TaskError(
                f"{self.path} is no network: a folder that save_pretrained has written holds a {_CONFIG} with the one "
                "name of its class under architectures; other networks are named as package.module:factory"
            ) from error
        return str(name)
