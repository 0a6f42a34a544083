"""The search file: what it may say, and every mistake in it at once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from rdsearch.base.registry import Registry, among
from rdsearch.base.schema import Known, Settings, explain, shown
from rdsearch.base.units import parse_duration, parse_share
from rdsearch.config.plain import plain
from rdsearch.config.recipe import Recipe
from rdsearch.config.space import RecipeSpace, load_recipe, parse_space
from rdsearch.config.yamlfile import apply_override, read_yaml
from rdsearch.errors import ConfigError
from rdsearch.tasks.settings import TaskConfig

SAMPLERS: Registry[Any] = Registry(
    "sampler",
    {
        name: f"rdsearch.search.study.samplers:{name}"
        for name in ("tpe", "curve", "nsga2", "gp", "qmc", "random", "grid")
    },
    group="rdsearch.samplers",
)
"""Samplers by name."""
TRACKERS: Registry[Any] = Registry(
    "tracker",
    {
        name: f"rdsearch.search.run.trackers.{name}:{attribute}"
        for name, attribute in {"tensorboard": "TensorBoard", "mlflow": "MLflow", "wandb": "WeightsAndBiases"}.items()
    },
)
"""Experiment trackers by name."""
GRID = "grid"
LEARNING = frozenset({"tpe", "gp"})
"""Samplers that learn from every observation of the study, whoever proposed it."""
DEFAULT_TRIALS = 60

AT_MOST = ("accuracy_drop", "size_bytes", "rate_bits_per_weight", "seconds")
"""Measured columns that a constraint bounds from above."""
AT_LEAST = ("val_accuracy", "compression_ratio", "sparsity")
"""Measured columns that a constraint bounds from below."""


def _known_columns(constraints: dict[str, float]) -> dict[str, float]:
    columns = AT_MOST + AT_LEAST
    for name in constraints:
        if name not in columns:
            raise ValueError(f"unknown column {name!r}{among(name, columns, 'allowed are')}")
    return constraints


def _shares(constraints: object) -> object:
    """A percentage as the share that it is."""
    if not isinstance(constraints, Mapping):
        return constraints
    return {
        name: parse_share(bound) if isinstance(bound, str) and bound.strip().endswith("%") else bound
        for name, bound in constraints.items()
    }


def _seconds(value: object) -> float | None:
    return None if value is None else parse_duration(str(value))


def _share(gpus: float) -> float:
    if gpus > 1:
        raise ValueError(f"{gpus:g} GPUs a trial: a trial computes on one, so give a share up to 1")
    return gpus


_SECRET = re.compile("pass|pwd|secret|token|credential", re.IGNORECASE)
"""In the names of a URL's options."""
DATABASES = ("postgresql", "mysql", "sqlite")
"""Databases that a study can lie in."""


def _database(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    kind, _, driver = parts.scheme.partition("+")
    if kind not in DATABASES:
        raise ValueError(
            f"{shown(url.partition('@')[2] or url)} must begin with {', '.join(f'{name}://' for name in DATABASES)}"
        )
    hidden = [key for key in parse_qs(parts.query, keep_blank_values=True) if _SECRET.search(key)]
    if parts.password is not None or hidden:
        raise ValueError(
            "the password in it would be shown in config.yaml and the report: leave it out of the URL, and put it into "
            "PGPASSWORD or ~/.pgpass (PostgreSQL) or an option file (MySQL)"
        )
    if kind == "sqlite" and not parts.path.startswith("//"):
        raise ValueError(f"{shown(url)} depends on the working directory: give sqlite:////absolute/path.db")
    # SQLAlchemy 2.0 takes another driver for plain `postgresql` than 2.1 does.
    return url.replace("postgresql:", "postgresql+psycopg:", 1) if (kind, driver) == ("postgresql", "") else url


class HalvingConfig(Settings):
    """When the scheduler ``halving`` stops a trial."""

    first_round: int = Field(2, ge=1)
    """The first round after which trials are compared."""
    every: int = Field(2, ge=1)
    """Rounds from one comparison to the next."""
    factor: float = Field(3, gt=1)
    """One trial in so many goes on, and with it every one that none of the others beats."""
    at_least: int = Field(6, ge=2)
    """Trials that must have come to a round before any is stopped there."""


class SearchConfig(Settings):
    """How the search goes."""

    objectives: tuple[Literal["size_bytes"], Literal["val_accuracy"]] = ("size_bytes", "val_accuracy")
    """What the front trades: bytes of the file against accuracy of what it decodes to."""
    constraints: Annotated[
        dict[str, float],
        BeforeValidator(_shares, json_schema_input_type=dict[str, float | str]),
        AfterValidator(_known_columns),
    ] = {}
    """Measured column to its bound; points beyond it steer the sampler and stay off the front."""
    sampler: Annotated[str, Known(SAMPLERS)] = "tpe"
    """What proposes the next recipe; ``grid`` tries every combination once."""
    trials: int | None = Field(None, ge=1, le=1_000_000)
    """Recipes to try; 60 when not given, and every combination with sampler ``grid``."""
    time: Annotated[float | None, BeforeValidator(_seconds, json_schema_input_type=float | str | None)] = None
    """Wall time after which no more is started, such as ``2h``; running trials can be resumed."""
    storage: Annotated[str | None, AfterValidator(_database)] = None
    """URL of the database that holds the Optuna study, without a password; a journal in the folder when not given."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the sampler and of every trial."""
    heuristics: bool = True
    """Whether each allocation is tried once before the sampler proposes anything; never with ``grid``."""
    prefix_observations: bool = False
    """Whether the sampler is told each round as a recipe of so many rounds, where ``pruning.rounds`` is searched."""
    patience: int | None = Field(1, ge=1)
    """Rounds in a row past the accuracy constraint after which a trial ends; never when ``null``."""
    scheduler: Literal["none", "halving"] = "none"
    """Whether trials that others beat are stopped early: ``halving`` is asynchronous successive halving."""
    halving: HalvingConfig = HalvingConfig()
    """When ``halving`` stops a trial."""
    trackers: tuple[Annotated[str, Known(TRACKERS)], ...] = ()
    """Experiment trackers that hear of every trial and round."""


class ResourceConfig(Settings):
    """What one trial takes."""

    cpu: float = Field(1, gt=0)
    """Processor cores a trial."""
    gpu: Annotated[float, AfterValidator(_share)] = Field(0, ge=0)
    """Share of a GPU a trial, used where there is one."""
    concurrent: int | None = Field(None, ge=1)
    """Trials at a time; as many as the machine or cluster holds when not given."""


@dataclass(frozen=True)
class SearchFile:
    """A search file that has passed every check.

    Attributes:
        name: Name of the search; the file's stem.
        task: What is compressed; ``None`` when the search was begun with a `Task` object.
        space: Which recipes are tried.
        search: How the search goes.
        resources: What one trial takes.
        tree: The file's mapping with overrides applied, as ``config.yaml`` keeps it.
    """

    name: str
    task: TaskConfig | None
    space: RecipeSpace
    search: SearchConfig
    resources: ResourceConfig
    tree: Mapping[str, Any]

    @property
    def trials(self) -> int:
        """Recipes to try; no more than the space holds different ones."""
        if self.search.sampler == GRID:
            return self.search.trials or self.space.combinations
        return int(min(self.search.trials or DEFAULT_TRIALS, self._different))

    @property
    def _different(self) -> float:
        """Different recipes that there are to try; many where the usual space will be taken, and in a grid."""
        counted = self.tree.get("recipe") and self.search.sampler != GRID
        return self.space.recipes or math.inf if counted else math.inf

    def few(self, wanted: int | None = None) -> str | None:
        """Why the search ends early, in a sentence, where the space holds fewer recipes than it may try.

        Args:
            wanted: Trials asked for, where that is not the file's number.
        """
        different = self._different
        if different >= (wanted or self.search.trials or DEFAULT_TRIALS):
            return None
        if not self.space.domains:
            return "nothing in the recipe is a range, so there is one recipe to try: one trial"
        return f"the space holds {different} different recipe{'s' * (different > 1)}: each is tried once"

    def check_trials(self, trials: int | None) -> None:
        """Refuse more trials than there is to try.

        Raises:
            ConfigError: The sampler is a grid, and has fewer combinations.
        """
        if trials is not None and (problem := _too_many(self.space, self.search, trials)):
            raise ConfigError("trials", [problem])


_SECTIONS: dict[str, type[BaseModel]] = {
    "task": TaskConfig,
    "recipe": Recipe,
    "search": SearchConfig,
    "resources": ResourceConfig,
}
S = TypeVar("S", bound=BaseModel)


def load_search_file(
    path: str | Path, overrides: Sequence[str] = (), *, own_task: bool = False, cores: int | None = None
) -> SearchFile:
    """Read and check a search file.

    Args:
        path: A YAML file; also the ``config.yaml`` of a search, which is then run again under its name.
        overrides: ``"a.b=c"`` settings that replace the file's.
        own_task: Whether the task comes from elsewhere, so that the file needs none.
        cores: Cores of the machine that the search will run on; a trial that asks for more is a mistake.

    Raises:
        ConfigError: Anything is wrong with it; every mistake is listed.
    """
    tree = read_yaml(path)
    for override in overrides:
        apply_override(tree, override)
    name = take_name(tree) or Path(path).stem
    return check_search(tree, source=str(path), name=name, own_task=own_task, cores=cores)


def take_name(tree: dict[str, Any]) -> str | None:
    """Take out of a search's own file what a search has put into it: its name, which is returned, and its identity."""
    name = tree.pop("name", None)
    tree.pop("id", None)
    return None if name is None else str(name)


def check_search(
    tree: Mapping[str, Any], *, source: str, name: str, own_task: bool = False, cores: int | None = None
) -> SearchFile:
    """Check a search given as a mapping; see `load_search_file`.

    Raises:
        ConfigError: Anything is wrong with it; every mistake is listed.
    """
    tree = plain(tree, source)
    problems = [
        f"{key}: unknown key{among(str(key), _SECTIONS, 'allowed here are')}" for key in tree if key not in _SECTIONS
    ]
    if tree.get("task") is None and not own_task:
        problems.append("task: is required and not given; it says which network and data set")
    parts = {key: _section(tree, key, problems) for key in _SECTIONS}
    task = _checked(TaskConfig, parts["task"], "task", problems) if isinstance(tree.get("task"), Mapping) else None
    space, mistakes = parse_space(parts["recipe"], source)
    problems += mistakes
    search = _checked(SearchConfig, parts["search"], "search", problems)
    resources = _checked(ResourceConfig, parts["resources"], "resources", problems)
    if resources is not None and cores is not None and resources.cpu > cores:
        problems.append(f"resources.cpu: {resources.cpu:g} cores a trial, but this machine has {cores}")
    if not problems and search is not None and search.sampler == GRID:
        problems += _grid_mistakes(space, search)
    if problems or search is None or resources is None:
        raise ConfigError(source, problems)
    return SearchFile(name, task, space, search, resources, tree)


def _grid_mistakes(space: RecipeSpace, search: SearchConfig) -> list[str]:
    problems = [
        f"recipe.{name}: has no number of values for the grid: say `points: 5` beside the range, or list the values as "
        "`choice: [...]`"
        for name in space.without_grid
    ]
    if not problems and search.trials is not None and (problem := _too_many(space, search, search.trials)):
        problems.append(f"search.trials: {problem}")
    return problems


def _too_many(space: RecipeSpace, search: SearchConfig, trials: int) -> str | None:
    if search.sampler != GRID or trials <= space.combinations:
        return None
    return f"{trials} is more than the {space.combinations} combinations of the grid; leave it out to try each once"


def load_task_file(path: str | Path, overrides: Sequence[str] = ()) -> TaskConfig:
    """The task of a search file, or of a file that holds nothing but a task.

    Raises:
        ConfigError: The task is wrong; every mistake is listed.
    """
    tree = read_yaml(path)
    for override in overrides:
        apply_override(tree, override)
    problems: list[str] = []
    part = _section(tree, "task", problems) if "task" in tree else tree
    task = _checked(TaskConfig, part, "task", problems)
    if problems or task is None:
        raise ConfigError(str(path), problems)
    return task


def load_recipe_file(path: str | Path) -> Recipe:
    """The recipe of a file with a ``recipe:`` part, or of one that holds nothing but a recipe.

    Raises:
        ConfigError: The recipe is wrong or has ranges; every mistake is listed.
    """
    tree = read_yaml(path)
    problems: list[str] = []
    part = _section(tree, "recipe", problems) if "recipe" in tree else tree
    if problems:
        raise ConfigError(str(path), problems)
    return load_recipe(part, str(path))


def _section(tree: Mapping[str, Any], key: str, problems: list[str]) -> Mapping[str, Any]:
    part = tree.get(key)
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        problems.append(f"{key}: {shown(part)} must be a mapping of keys to values")
        return {}
    return part


def _checked(model: type[S], part: Mapping[str, Any], prefix: str, problems: list[str]) -> S | None:
    try:
        return model.model_validate(dict(part))
    except ValidationError as error:
        problems += explain(error, model, prefix)
    return None
