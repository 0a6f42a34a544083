from __future__ import annotations

import re
from pathlib import Path

import pytest

from rdsearch.config.ready import find_space, first_comment, ready_spaces
from rdsearch.config.searchfile import load_search_file, load_task_file
from rdsearch.errors import ConfigError
from rdsearch.search.study.heuristics import heuristics


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


def test_every_pair_with_a_known_recipe_has_a_ready_search_file_that_bears_its_name() -> None:
    from rdsearch.tasks.training.recipes import KNOWN_GOOD

    tasks = {name: load_task_file(path) for name, path in ready_spaces().items()}
    assert {(task.network, task.dataset) for task in tasks.values()} >= set(KNOWN_GOOD)
    for name, task in tasks.items():
        assert name.startswith(task.dataset)
        assert re.sub("_(sweep|posttraining|bytes|rounds)$", "", name).removeprefix(task.dataset).lstrip(
            "_"
        ) in task.network.replace("digits_cnn", "")
    assert len({path.read_text() for path in ready_spaces().values()}) == len(tasks)


@pytest.mark.parametrize("name", ready_spaces())
def test_each_begins_with_the_true_number_of_parameters(name: str) -> None:
    import torch

    from rdsearch.tasks.networks.identity import build_network

    path = ready_spaces()[name]
    task = load_task_file(path)
    stated = re.search(r"([0-9 ]+) parameters", first_comment(path))
    if stated is None:
        assert task.dataset == "digits"
        return
    with torch.device("meta"):
        network = build_network(task.network + "?classes=100" * (task.dataset == "cifar100"))
    assert sum(parameter.numel() for parameter in network.parameters()) == int(stated[1].replace(" ", ""))


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
        find_space("digit")
    assert "digit: 1 mistake" in str(error.value)
    assert "Ready ones are digits, " in str(error.value)
    assert "Did you mean 'digits'?" in str(error.value)


@pytest.mark.parametrize(
    ("given", "meant"), [("mine.yml", "mine.yaml"), ("./mien.yaml", "mine.yaml"), ("digit.yaml", "digits")]
)
def test_a_path_that_is_no_file_is_told_the_file_beside_it_or_the_ready_one(
    given: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"there is no such file\. Did you mean '{meant}'\?"):
        find_space(given)


def test_a_file_without_a_comment_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("task: 1\n")
    assert first_comment(tmp_path / "a.yaml") == ""
