from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rdsearch.config.searchfile import check_search, load_recipe_file, load_search_file, load_task_file
from rdsearch.config.yamlfile import read_yaml
from rdsearch.errors import ConfigError

TASK = {"network": "digits_cnn", "dataset": "digits"}


def problems(tree: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        check_search(tree, source="s.yaml", name="s", **options)
    return error.value.problems


def written(folder: Path, tree: object) -> Path:
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_whole_search_file_is_read(tmp_path: Path) -> None:
    tree = {
        "task": {**TASK, "validation": 300},
        "recipe": {"pruning": {"rate": {"float": [0.1, 0.5]}}},
        "search": {"trials": 7, "time": "1h30m", "constraints": {"accuracy_drop": 0.05}, "sampler": "nsga2"},
        "resources": {"cpu": 2, "gpu": 0.25, "concurrent": 3},
    }
    file = load_search_file(written(tmp_path, tree))
    assert file.name == "s"
    assert file.task is not None
    assert (file.task.network, file.task.validation) == ("digits_cnn", 300)
    assert list(file.space.parameters) == ["pruning.rate"]
    assert (file.search.trials, file.search.time, file.search.sampler) == (7, 5400.0, "nsga2")
    assert file.search.constraints == {"accuracy_drop": 0.05}
    assert (file.resources.cpu, file.resources.gpu, file.resources.concurrent) == (2, 0.25, 3)
    assert file.tree == tree


def test_overrides_are_checked_and_kept(tmp_path: Path) -> None:
    path = written(tmp_path, {"task": TASK})
    file = load_search_file(path, ["search.trials=3", "recipe.retrain.lr={float: [1e-4, 1e-2], log: true}"])
    assert file.search.trials == 3
    assert list(file.space.parameters) == ["retrain.lr"]
    assert file.tree["search"] == {"trials": 3}
    with pytest.raises(ConfigError, match=r"search\.trails: unknown key"):
        load_search_file(path, ["search.trails=3"])


def test_every_mistake_in_a_file_is_listed_with_path_value_and_remedy(tmp_path: Path) -> None:
    tree = {
        "task": {
            "network": "digits_cn",
            "dataset": "minst",
            "validaton": 5,
            "seed": -1,
            "train": {"lr": "fast", "optimizer": "adm"},
            "options": {"netwrk": {}},
            "root": 5,
        },
        "recipe": {
            "prunning": {},
            "pruning": {"method": "lam", "rounds": 0, "rate": 1.5, "skip": "conv"},
            "retrain": {"lr": {"float": [0.1, 0.01]}},
            "quantization": {"granularity": "layer", "bias_bits": 1, "lambda": {"float": [0.0, 0.1]}},
        },
        "search": {
            "objectives": ["size_bytes", "val_acc"],
            "constraints": {"acuracy_drop": 0.1},
            "sampler": "tpee",
            "trials": True,
            "time": "2 parsecs",
        },
        "resources": {"cpu": 0, "gpu": 1.5, "memory": 3},
        "seach": {},
    }
    with pytest.raises(ConfigError) as error:
        load_search_file(written(tmp_path, tree))
    found = dict(line.split(": ", 1) for line in error.value.problems)
    assert found == {
        "seach": "unknown key. Did you mean 'search'? Allowed here are task, recipe, search, resources.",
        "task.network": found["task.network"],
        "task.dataset": found["task.dataset"],
        "task.validaton": "unknown key. Did you mean 'validation'? Allowed here are network, dataset, options, root, "
        "checkpoint, evaluate, validation, held_out, validation_subset, seed, train.",
        "task.seed": "-1 must be at least 0",
        "task.train.lr": "'fast' must be a number",
        "task.train.optimizer": "'adm' must be 'adamw', 'adam' or 'sgd'. Did you mean 'adam'?",
        "task.options.netwrk": "unknown key. Did you mean 'network'? Allowed here are network, dataset.",
        "task.root": "5 must be a path",
        "recipe.prunning": "unknown key. Did you mean 'pruning'? Allowed here are pruning, retrain, quantization.",
        "recipe.pruning.method": "unknown pruning method 'lam'. Did you mean 'lamp'? Known are global, uniform, "
        "uniform_plus, erk, lamp, surp, rd_prune",
        "recipe.pruning.rounds": "0 must be at least 1",
        "recipe.pruning.rate": "1.5 must be less than 1",
        "recipe.pruning.skip": "'conv' must be a list",
        "recipe.retrain.lr": "float: the lowest value 0.1 is above the highest 0.01; swap them",
        "recipe.quantization.granularity": "'layer' must be 'network', 'tensor' or 'sensitivity'",
        "recipe.quantization.bias_bits": "1 must be at least 2",
        "recipe.quantization.lambda": "unknown key: allowed here are method, step, target_bytes, granularity, "
        "dead_zone, rate_weight, damping, step_multipliers, plain, plain_step, bias_bits, reestimate_batchnorm, "
        "fold_batchnorm, calibration, quality_layers, training.",
        "search.objectives.1": "'val_acc' must be 'val_accuracy'. Did you mean 'val_accuracy'?",
        "search.constraints": "unknown column 'acuracy_drop'. Did you mean 'accuracy_drop'? Allowed are accuracy_drop, "
        "size_bytes, rate_bits_per_weight, seconds, val_accuracy, compression_ratio, sparsity",
        "search.sampler": "unknown sampler 'tpee'. Did you mean 'tpe'? Known are tpe, curve, nsga2, gp, qmc, random, "
        "grid",
        "search.trials": "true must be a whole number",
        "search.time": found["search.time"],
        "resources.cpu": "0 must be greater than 0",
        "resources.gpu": "1.5 GPUs a trial: a trial computes on one, so give a share up to 1",
        "resources.memory": "unknown key: allowed here are cpu, gpu, concurrent.",
    }
    assert found["task.network"].startswith(
        "unknown network 'digits_cn'. Did you mean 'digits_cnn'? Known are digits_cnn, "
    )
    assert found["task.dataset"].startswith("unknown data set 'minst'. Did you mean 'mnist'? Known are digits, mnist, ")
    assert found["search.time"].startswith("'2 parsecs' is no duration: give seconds, or d, h, m")
    assert str(error.value).startswith(f"{tmp_path / 's.yaml'}: {len(found)} mistakes\n  - ")
    for jargon in ("pydantic", "Input", "NoneType", "None", "constrained", "valid_", "validation error"):
        assert jargon not in str(error.value)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "task: is required and not given; it says which network and data set"),
        ({"task": None}, "task: is required and not given; it says which network and data set"),
        ({"task": 5}, "task: 5 must be a mapping of keys to values"),
        ({"task": {"network": "lenet300"}}, "task.dataset: is required and not given"),
        ({"task": TASK, "recipe": [1]}, "recipe: [1] must be a mapping of keys to values"),
        (
            {"task": TASK, "recipe": {"quantization": None}},
            "recipe.quantization: null must be a mapping of keys to values",
        ),
        ({"task": TASK, "recipe": {"float": [0, 1]}}, "recipe.float: unknown key: allowed here are pruning, retrain, "),
        ({"task": TASK, "search": "fast"}, "search: 'fast' must be a mapping of keys to values"),
        ({"task": TASK, "search": {"objectives": "size_bytes"}}, "search.objectives: 'size_bytes' must be a list"),
        ({"task": TASK, "search": {"objectives": ["size_bytes"]}}, "search.objectives.1: is required and not given"),
        ({"task": TASK, "search": {"time": "0"}}, "search.time: '0' is no time at all"),
        ({"task": TASK, "search": {"constraints": {"sparsity": "high"}}}, "search.constraints.sparsity: 'high' must"),
        ({"task": TASK, "search": {"seed": 2**32}}, "search.seed: 4294967296 must be less than 4294967296"),
        ({"task": TASK, "search": {"seed": {"int": [0, 3]}}}, "search.seed: {'int': [0, 3]} must be a whole number"),
        ({"task": {**TASK, 1: 2}}, "task.1: 1 is a key, and keys must be text"),
        ({"task": TASK, 1: 2}, "1: unknown key: allowed here are task, recipe, search, resources."),
    ],
)
def test_one_mistake_is_one_line(tree: dict[str, Any], said: str) -> None:
    (problem,) = problems(tree)
    assert problem.startswith(said)


def test_a_trial_that_fits_no_machine_is_a_mistake() -> None:
    tree = {"task": TASK, "resources": {"cpu": 64}}
    assert problems(tree, cores=2) == ["resources.cpu: 64 cores a trial, but this machine has 2"]
    assert check_search(tree, source="s", name="s").resources.cpu == 64


def test_a_search_of_an_own_task_needs_no_task_part() -> None:
    assert check_search({}, source="s", name="s", own_task=True).task is None


def test_empty_sections_mean_their_defaults() -> None:
    tree = {"task": TASK, "recipe": None, "search": None, "resources": None}
    file = check_search(tree, source="s", name="s")
    assert (file.trials, file.search.sampler, file.space.parameters) == (60, "tpe", {})


@pytest.mark.parametrize("tree", [TASK, {"task": TASK}])
def test_a_task_file_may_have_the_part_alone(tmp_path: Path, tree: dict[str, Any]) -> None:
    assert load_task_file(written(tmp_path, tree)).network == "digits_cnn"


def test_a_task_file_takes_overrides_and_explains_mistakes(tmp_path: Path) -> None:
    path = written(tmp_path, {"task": TASK, "search": {"nothing": "is read"}})
    assert load_task_file(path, ["task.seed=4"]).seed == 4
    with pytest.raises(ConfigError, match=r"1 mistake\n  - task\.seed: 'x' must be a whole number"):
        load_task_file(path, ["task.seed=x"])


@pytest.mark.parametrize("wrap", [True, False])
def test_a_recipe_file_may_have_the_part_alone(tmp_path: Path, wrap: bool) -> None:
    part = {"pruning": {"rounds": 3}}
    assert load_recipe_file(written(tmp_path, {"recipe": part} if wrap else part)).pruning.rounds == 3


def test_a_recipe_file_with_a_range_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"recipe": {"pruning": {"rounds": {"int": [1, 3]}}}})
    with pytest.raises(ConfigError, match=r"recipe\.pruning\.rounds: is a range; one recipe needs one value here"):
        load_recipe_file(path)


def test_checking_a_search_file_imports_neither_torch_nor_ray_nor_optuna(tmp_path: Path) -> None:
    path = written(tmp_path, {"task": TASK, "recipe": {"pruning": {"rate": {"float": [0.1, 0.5]}}}})
    code = (
        "import sys; from rdsearch.config.searchfile import load_search_file; load_search_file(sys.argv[1]); "
        "print([name for name in ('torch', 'ray', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def sweep(recipe: dict[str, Any], **search: Any) -> dict[str, Any]:
    return {"task": TASK, "recipe": recipe, "search": {"sampler": "grid", **search}}


def test_a_sweep_has_as_many_trials_as_combinations_and_no_more() -> None:
    recipe = {"pruning": {"rounds": {"int": [2, 4]}, "rate": {"float": [0.1, 0.5], "points": 5}}}
    file = check_search(sweep(recipe), source="s", name="s")
    assert file.trials == 15
    file.check_trials(15)
    with pytest.raises(ConfigError, match="16 is more than the 15 combinations"):
        file.check_trials(16)
    assert check_search(sweep(recipe, trials=4), source="s", name="s").trials == 4
    assert problems(sweep(recipe, trials=16)) == [
        "search.trials: 16 is more than the 15 combinations of the grid; leave it out to try each once"
    ]
    assert check_search({"task": TASK, "recipe": recipe}, source="s", name="s").trials == 60


@pytest.mark.parametrize("key", ["penalty", "gates"])
@pytest.mark.parametrize("method", [None, "l1", {"choice": [None, "hard_concrete"]}])
def test_a_key_that_is_gone_is_refused_with_what_takes_its_place(key: str, method: Any) -> None:
    recipe = {"retrain": {key: {"method": method, "weight": {"float": [0.1, 3.0]}}}}
    (found,) = problems({"task": TASK, "recipe": recipe})
    assert found.startswith(f"recipe.retrain.{key}: penalties and gates are gone")
    assert "use quantization.training" in found
    (found,) = problems({"task": TASK, "recipe": {"pruning": {key: {}}}})
    assert found.startswith(f"recipe.pruning.{key}: unknown key")


def test_a_sweep_names_every_range_whose_values_it_does_not_know() -> None:
    recipe = {
        "pruning": {"rate": {"float": [0.1, 0.5]}, "method": {"choice": ["global", "erk"]}},
        "quantization": {"step": {"float": [0.1, 0.5]}},
    }
    found = problems(sweep(recipe))
    assert [problem.split(":")[0] for problem in found] == ["recipe.pruning.rate", "recipe.quantization.step"]
    assert all("points: 5" in problem and "choice: [...]" in problem for problem in found)


def test_the_file_that_a_search_keeps_can_be_run_again_as_it_is() -> None:
    kept = Path(__file__).parent.parent.parent / "results" / "mnist_lenet300" / "config.yaml"
    file = load_search_file(kept)
    assert file.name == read_yaml(kept)["name"]
    assert not {"name", "id"} & set(file.tree)
