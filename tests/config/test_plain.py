from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
import yaml

from rdsearch.config.plain import plain
from rdsearch.config.searchfile import check_search
from rdsearch.errors import ConfigError


class Size(IntEnum):
    SMALL = 3


def test_what_python_gives_becomes_what_a_file_holds() -> None:
    tree = {
        "scalar": np.float64(0.5),
        "whole": np.int32(3),
        "on": np.bool_(True),
        "text": np.str_("erk"),
        "array": np.linspace(0, 1, 3),
        "pair": (1, np.float32(0.5)),
        "range": range(2),
        "path": Path("data"),
        "enum": Size.SMALL,
        "none": None,
    }
    found = plain(tree, "search")
    assert found == {
        "scalar": 0.5,
        "whole": 3,
        "on": True,
        "text": "erk",
        "array": [0.0, 0.5, 1.0],
        "pair": [1, 0.5],
        "range": [0, 1],
        "path": "data",
        "enum": 3,
        "none": None,
    }
    assert yaml.safe_load(yaml.safe_dump(found)) == found
    assert [type(value) for value in (found["scalar"], found["whole"], found["on"])] == [float, int, bool]


def test_a_space_takes_numbers_of_numpy_and_tuples() -> None:
    recipe = {
        "pruning": {"rate": {"choice": tuple(np.linspace(0.2, 0.5, 3))}, "rounds": {"int": np.array([1, 3])}},
        "quantization": {"step": {"float": (np.float32(0.5), 2.0), "log": np.bool_(True)}},
    }
    space = check_search({"recipe": recipe}, source="s", name="s", own_task=True).space
    assert str(space.parameters["pruning.rounds"]) == "whole numbers 1 to 3"
    assert space.recipe({"pruning.rate": 0.2, "pruning.rounds": 1, "quantization.step": 1.0}).pruning.rate == 0.2


def test_anything_else_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"task\.options\.network\.activation: a type is no text, number"):
        plain({"task": {"options": {"network": {"activation": int}}}}, "search")
