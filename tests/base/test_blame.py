from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from rdsearch.base.blame import blamed, place_of, sentence
from rdsearch.errors import TaskError


def caught(function: Any) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def line_of(text: str) -> int:
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(source, start=1) if line.strip() == text)


def user() -> None:
    np.zeros(3).reshape(2, 2)  # in a package, asked for here


def test_an_error_inside_a_package_is_where_the_users_code_asked_for_it() -> None:
    place = f"test_blame.py:{line_of('np.zeros(3).reshape(2, 2)  # in a package, asked for here')}"
    assert (place_of(caught(user)) or "").endswith(place)
    assert sentence(caught(user)).startswith("ValueError: cannot reshape array of size 3 into shape (2,2) (")


def test_an_error_of_packages_alone_has_no_place() -> None:
    error = caught(torch.nn.Linear(2, 2).forward)
    error.__traceback__ = None
    assert place_of(error) is None


class Broken(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise KeyError("image_id")  # in a worker


def test_an_error_in_a_loaders_worker_process_has_its_place() -> None:
    error = caught(lambda: next(iter(DataLoader(Broken(), num_workers=1))))
    line = line_of('raise KeyError("image_id")  # in a worker')
    assert f"test_blame.py:{line}" in sentence(error)
    assert sentence(error).startswith("KeyError: 'image_id' (")


def test_a_syntax_error_is_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("x = 1\ndef net(:\n")
    error = caught(lambda: compile((tmp_path / "nets.py").read_text(), str(tmp_path / "nets.py"), "exec"))
    assert (place_of(error) or "").endswith("nets.py:2")


def test_code_that_would_end_the_process_is_a_mistake_too() -> None:
    said = r"nets cannot be imported: SystemExit: 3 \(.*test_blame.py:\d+\)"
    with pytest.raises(TaskError, match=said), blamed("nets cannot be imported"):
        raise SystemExit(3)


def test_what_was_raised_on_purpose_stays_as_it_is() -> None:
    with pytest.raises(TaskError, match=r"^said already$"), blamed("something fails"):
        raise TaskError("said already")
