"""The documentation says what is so: its examples run, its commands exist, its generated parts are up to date."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click
import pytest

from rdsearch.cli import app
from rdsearch.config.searchfile import check_search
from rdsearch.config.yamlfile import parse_yaml
from tests.commands import Run

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
QUICK_START = ROOT / "docs" / "quickstart.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "results" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

_FENCE = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n)?(?P<ticks>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=ticks)$",
    re.M | re.S,
)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``file`` is the name that its reader is told to give it."""

    page: Path
    language: str
    text: str
    file: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.strip().splitlines()[0][:40]}"


def _blocks(*languages: str) -> list[Block]:
    return [
        Block(page, match["language"], match["text"], match["file"])
        for page in PAGES
        for match in _FENCE.finditer(page.read_text(encoding="utf-8"))
        if match["language"] in languages
    ]


def _without_blocks(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["search-files.md", "cli.md"])
def test_generated_parts_are_up_to_date(reference: ModuleType, name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert reference.refreshed(text) == text, "run `python docs/make_reference.py`"


def test_every_generated_part_stands_on_a_page(reference: ModuleType) -> None:
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in reference.PAGES)
    assert sorted(re.findall(r"<!-- generated: (\S+) -->", text)) == sorted(reference.PARTS)


def test_every_key_of_a_search_file_is_explained(reference: ModuleType) -> None:
    missing = [
        f"{section}.{name}"
        for section, model in reference.SECTIONS.items()
        for name, info in model.model_fields.items()
        if not info.description
    ]
    assert not missing


@pytest.mark.parametrize("block", _blocks("yaml"), ids=str)
def test_yaml_examples_are_search_files(block: Block) -> None:
    check_search(parse_yaml(block.text, str(block)), source=str(block), name="example", own_task=True)


def test_the_search_file_of_the_readme_has_ten_lines_at_most() -> None:
    assert all(len(block.text.splitlines()) <= 10 for block in _blocks("yaml") if block.page == README)


def _command_lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words:
            yield words


def _parse(words: list[str]) -> None:
    """Parse a command line as click does, without running it."""
    top = click.Context(app, info_name="rdsearch", **app.context_settings)
    assert words[0] in app.commands, f"no command {words[0]!r}"
    command = app.commands[words[0]]
    command.parse_args(click.Context(command, info_name=words[0], parent=top), words[1:])


@pytest.mark.parametrize("block", _blocks("bash"), ids=str)
def test_commands_in_examples_are_accepted(block: Block) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for words in _command_lines(block.text):
        if words[0] == "rdsearch":
            _parse(words[1:])
        elif words[0] == "make":
            assert set(words[1:]) <= targets


def test_a_wrong_option_in_an_example_would_be_found() -> None:
    with pytest.raises(click.NoSuchOption):
        _parse(["front", "DIR", "--most-bytes", "20k"])


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_in_the_text_exist(page: Path) -> None:
    for code in _INLINE.findall(_without_blocks(page)):
        match = re.fullmatch(r"rdsearch ([a-z]+)\b(.*)", code)
        if match is None:
            continue
        assert match[1] in app.commands, code
        known = {name for parameter in app.commands[match[1]].params for name in parameter.opts} | {"-h", "--help"}
        assert set(_OPTION.findall(match[2])) <= known, code


def test_every_command_is_in_the_readme_or_the_quick_start() -> None:
    pages = (README, QUICK_START)
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in app.commands if f"rdsearch {name}" not in text] == []


def _anchors(page: Path) -> set[str]:
    """Anchors as the site and the code hosts make them: lower case, hyphens for spaces, punctuation gone."""
    titles = _HEADING.findall(_without_blocks(page))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_internal_links_resolve(page: Path) -> None:
    for link in _LINK.findall(_without_blocks(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in _anchors(target), f"{link}: no such heading"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = {ROOT / "docs" / name for name in re.findall(r": (\S+\.md)$", navigation, re.M)}
    assert listed == set((ROOT / "docs").rglob("*.md"))


def _run(blocks: list[Block], folder: Path, environment: dict[str, str]) -> None:
    """Run a page's blocks in their order, in one fresh interpreter."""
    for block in blocks:
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")
    script = "\n".join(block.text for block in blocks if block.file is None)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"RDSEARCH_CACHE": str(tmp_path_factory.mktemp("cache")), "PYTHONPATH": path}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A folder in which README.md's examples have run, so that ``results/digits`` holds a search."""
    folder = tmp_path_factory.mktemp("reader")
    _run([block for block in _blocks("python") if block.page == README], folder, environment)
    return folder


def test_python_examples_of_the_readme_run(searched: Path) -> None:
    assert list((searched / "results" / "digits" / "front").glob("*.rdz"))


@pytest.mark.parametrize("page", sorted({block.page for block in _blocks("python")} - {README}), ids=_name)
def test_python_examples_run(page: Path, searched: Path, environment: dict[str, str]) -> None:
    _run([block for block in _blocks("python") if block.page == page], searched, environment)


FINISHED = {"compress", "decode", "evaluate", "front", "info", "pull", "push", "report", "ship", "test"}
"""Commands about a finished search and its files, which are run as they stand on each page."""
ELSEWHERE = {
    "init": "test_tutorial.py and cli/test_init.py",
    "resume": "search/test_resume.py",
    "search": "test_tutorial.py and search/test_real_search.py; --dry-run in search/test_outlook.py",
    "validate": "test_cli.py",
    "watch": "report/test_watching.py",
}
"""Commands that run for minutes, for ever or on a cluster, to the tests that run them with less to do."""


def _commands(page: Path) -> list[list[str]]:
    lines = [words for block in _blocks("bash") if block.page == page for words in _command_lines(block.text)]
    return [words[1:] for words in lines if words[0] == "rdsearch"]


def _about_the_search_here(words: list[str], file: str) -> list[str]:
    """A page's command, about the one search that there is, and with folders for repositories of a hub."""
    command, *rest = words
    adapted = []
    for word in rest:
        word = re.sub(r"results/(space|mine)", "results/digits", word)
        word = re.sub(r"trial\d+_round\d+", file, word)
        word = re.sub(r"^me/", "./hub-", word).replace("./digits-small", "./folder").replace("space.yaml", "digits")
        # Two trials need not have a file for every wish.
        adapted.append("90%" if command in ("ship", "push") and word.endswith("%") else word)
    return [command, *adapted]


@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page)], ids=_name)
def test_commands_about_a_search_run(
    page: Path, searched: Path, environment: dict[str, str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [words for words in _commands(page) if words[0] in FINISHED]
    assert {words[0] for words in _commands(page)} <= FINISHED | set(ELSEWHERE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RDSEARCH_CACHE", environment["RDSEARCH_CACHE"])
    shutil.copytree(searched / "results" / "digits", "results/digits")
    for published in ("mnist_lenet300", "mnist_lenet5"):
        shutil.copytree(ROOT / "results" / published, f"results/{published}")
    (reference,) = {block.text for block in _blocks("text") if block.file == "published.csv"}
    Path("published.csv").write_text(reference)
    file = next(Path("results/digits/front").glob("*.rdz")).stem
    for words in commands:
        status, out, err = run(*_about_the_search_here(words, file))
        assert status == 0 or (words[0] == "front" and "no point of the front has" in err), (words, err)
        assert out or err


def test_the_own_module_of_the_quick_start_makes_a_task(searched: Path, environment: dict[str, str]) -> None:
    (module,) = [block for block in _blocks("python") if block.file and block.page == QUICK_START]
    _run([module], searched, environment)
    own = next(block for block in _blocks("yaml") if block.page == QUICK_START)
    (searched / "mine.yaml").write_text(own.text, encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from rdsearch.cli import main; main()",
            "train",
            "mine.yaml",
            "--set",
            "task.train.epochs=1",
        ],
        cwd=searched,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "mine:network-mine:data: validation accuracy" in done.stdout, done.stderr


def test_the_five_lines_of_the_tasks_page_are_a_task_that_is_fine(tmp_path: Path, environment: dict[str, str]) -> None:
    page = ROOT / "docs" / "tasks.md"
    module, trained = [block for block in _blocks("python") if block.page == page][:2]
    _run([module, trained], tmp_path, environment)
    own = next(block for block in _blocks("yaml") if block.page == page)
    assert len(own.text.splitlines()) == 5
    (tmp_path / "own.yaml").write_text(own.text, encoding="utf-8")
    code = "from rdsearch.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", "own.yaml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1,137 training and 300 validation examples, a test split" in done.stdout
    assert "dense network: validation accuracy 0." in done.stdout


def _text_files() -> list[Path]:
    """Files of the project: those that git tracks or would."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# In pieces, so that this file does not hold what it looks for.
_HOSTS = "|".join(["py" + r"pi\.org", "python" + "hosted", "conda" + r"\.anaconda", "down" + r"load\.pytorch"])
_FORBIDDEN = {
    "a package registry's host": re.compile(_HOSTS),
    "a path of one machine": re.compile(r"(?<![\w.~])/" + r"(?:work|home|root|Users)/\w"),
}


@pytest.mark.parametrize("what", _FORBIDDEN)
def test_no_file_of_the_project_holds(what: str) -> None:
    found = []
    for path in _text_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in _FORBIDDEN[what].finditer(text)]
    assert not found
