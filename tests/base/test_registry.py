from __future__ import annotations

import sys

import pytest

from rdsearch.base.registry import Registry, suggest
from rdsearch.errors import RdsearchError, UnknownNameError


@pytest.fixture
def shapes() -> Registry[object]:
    return Registry("shape", {"square": "fractions:Fraction", "circle": "no.such.module:thing"})


def test_names_are_listed_in_their_order(shapes: Registry[object]) -> None:
    assert list(shapes) == ["square", "circle"]
    assert len(shapes) == 2
    assert "circle" in shapes
    assert "cube" not in shapes


def test_entry_is_imported_by_its_path(shapes: Registry[object]) -> None:
    from fractions import Fraction

    assert shapes.load("square") is Fraction


def test_checking_a_name_imports_nothing(shapes: Registry[object]) -> None:
    assert shapes.check("circle") == "circle"
    assert "no.such.module" not in sys.modules


@pytest.mark.parametrize("ask", ["check", "load"])
def test_unknown_name_lists_the_known_ones_and_the_nearest(shapes: Registry[object], ask: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        getattr(shapes, ask)("sqare")
    assert str(error.value) == "unknown shape 'sqare'. Did you mean 'square'? Known are square, circle."
    assert isinstance(error.value, (RdsearchError, LookupError))


def test_far_name_gets_no_suggestion(shapes: Registry[object]) -> None:
    with pytest.raises(UnknownNameError, match=r"known are square, circle\.$"):
        shapes.check("icosahedron")


def test_the_start_of_a_name_suggests_that_name() -> None:
    assert suggest("lenet5", ["resnet56", "lenet300", "lenet5_caffe"]) == " Did you mean 'lenet5_caffe'?"
    assert suggest("e", ["epochs", "lr"]) == ""


def test_nothing_is_suggested_where_nothing_is_known() -> None:
    assert suggest("anything", []) == ""


@pytest.mark.parametrize("registry", ["NETWORKS", "DATASETS", "METHODS", "SCHEDULES", "SAMPLERS"])
def test_every_registered_name_can_be_loaded(registry: str) -> None:
    from rdsearch import pruning, tasks
    from rdsearch.config import searchfile as config

    table: Registry[object] = next(
        getattr(module, registry) for module in (tasks, pruning, config) if hasattr(module, registry)
    )
    assert len(table) > 0
    for name in table:
        assert callable(table.load(name))
