from __future__ import annotations

from pathlib import Path

import pytest

from rdsearch.config import load_search_file
from rdsearch.errors import ConfigError
from rdsearch.search.heuristics import heuristics
from rdsearch.spaces import find_space, first_comment, ready_spaces


@pytest.mark.parametrize("name", ready_spaces())
def test_each_ready_search_file_is_valid_and_says_what_it_is(name: str) -> None:
    path = ready_spaces()[name]
    file = load_search_file(path, cores=1)
    assert file.name == name
    assert file.task is not None
    assert file.space.parameters
    assert len(first_comment(path)) > 20
    for proposal in heuristics(file.space, at_most=100):
        file.space.recipe(proposal)


def test_the_demo_is_among_them() -> None:
    assert {"digits", "mnist_lenet300", "mnist_lenet5"} <= set(ready_spaces())


def test_a_file_is_found_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("# mine\n")
    assert find_space(str(own)) == own
    assert find_space("digits") == ready_spaces()["digits"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").write_text("a file goes before a name")
    assert find_space("digits") == Path("digits")


def test_an_unknown_name_lists_the_ready_ones() -> None:
    with pytest.raises(ConfigError) as error:
        find_space("digit.yaml")
    assert "digit.yaml: 1 mistake" in str(error.value)
    assert "ready ones: " in str(error.value)
    assert "Did you mean 'digits'?" in str(error.value)


def test_a_file_without_a_comment_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("task: 1\n")
    assert first_comment(tmp_path / "a.yaml") == ""
