"""The files of docs/cluster are what their readers take them for."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from rdsearch.cli import app

ROOT = Path(__file__).parent.parent
FILES = ROOT / "docs" / "cluster"
LAUNCHER, RAYJOB, SLURM = (FILES / name for name in ("ray-cluster.yaml", "rayjob.yaml", "search.slurm"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def parse(words: list[str]) -> None:
    """Parse a command line as click does, without running it."""
    top = click.Context(app, info_name="rdsearch", **app.context_settings)
    command = app.commands[words[0]]
    command.parse_args(click.Context(command, info_name=words[0], parent=top), words[1:])


def commands(text: str) -> Iterator[list[str]]:
    """The ``rdsearch`` command lines in a shell script, without what starts or ends them."""
    for line in re.split(r"\|\||&&|\n", text):
        match = re.match(r"\s*(rdsearch [a-z].*?)\s*&?$", line)
        if match:
            yield shlex.split(match[1])[1:]


def test_launcher_file_passes_rays_schema() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = read(LAUNCHER)
    validate_config(prepare_config(config))
    nodes = config["available_node_types"]
    assert config["head_node_type"] in nodes
    assert nodes[config["head_node_type"]]["resources"]["CPU"] == 0
    # The same image as the job's, whose Dockerfile is here, and nothing that is installed by name at the start.
    image = read(RAYJOB)["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
    assert config["docker"]["image"] == image
    assert not config.get("setup_commands")
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert all("RAY_AUTH_MODE=token" in command for command in starts if "ray start" in command)


def test_launcher_file_that_is_wrong_would_be_found() -> None:
    import jsonschema
    from ray.autoscaler._private.util import validate_config

    config = read(LAUNCHER)
    config["available_node_types"]["gpu"]["minimum_workers"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validate_config(config)


def test_rayjob_has_what_the_operator_asks_for_and_its_entrypoint_parses() -> None:
    job = read(RAYJOB)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"] == groups[0]["template"]["spec"]["containers"][0]["image"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
        # Data, cache and Ray's shared memory, and the credentials of the bucket, in every pod.
        assert [mount["name"] for mount in container["volumeMounts"]] == ["data", "cache", "shm"]
        volumes = {volume["name"] for volume in group["template"]["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert (
            container["envFrom"][0]["secretRef"]["name"]
            in RAYJOB.read_text(encoding="utf-8").partition("apiVersion")[0]
        )
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    shell, option, script = shlex.split(spec["entrypoint"])
    assert (shell, option) == ("sh", "-c")
    found = list(commands(script))
    assert [words[0] for words in found] == ["resume", "search"]
    for words in found:
        parse(words)


def test_slurm_script_is_sound_and_ends_the_driver_gracefully() -> None:
    done = subprocess.run(["bash", "-n", str(SLURM)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    script = SLURM.read_text(encoding="utf-8")
    assert {"#SBATCH --signal=B:USR1@120", "#SBATCH --requeue"} <= set(script.splitlines())
    found = list(commands(script))
    assert [words[0] for words in found] == ["resume", "search"]
    for words in found:
        parse(words)


def test_the_image_holds_what_an_installation_needs_and_its_extras_exist() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (.*)$", text, re.M) for word in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    read_when_built = {"README.md", "packaging", *project["license-files"], "rdsearch", "search_spaces"}
    assert {*read_when_built, "constraints.txt"} <= copied
    extras = re.search(r"'\.\[([a-z0-9,]+)\]'", text)
    assert extras
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not copied & set(ignored)
