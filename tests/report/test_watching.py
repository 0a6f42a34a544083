"""The report of a search that grows, as a browser gets it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from rdsearch.errors import SearchError
from rdsearch.report import watching
from rdsearch.report.serving import ReportServer
from rdsearch.report.watching import Watched
from rdsearch.search.store.folder import SearchFolder
from rdsearch.search.store.objectstore import object_store
from tests.commands import Run
from tests.report.test_browser import browser, needs_browser, opened  # noqa: F401 - a fixture
from tests.search.s3 import KEYS, new_prefix, s3_server

ROOT = Path(__file__).parents[2]


@contextmanager
def served(folder: Path) -> Iterator[ReportServer]:
    with ReportServer(Watched(str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def get(server: ReportServer, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    with closing(HTTPConnection(*server.server_address[:2], timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()


@pytest.fixture
def growing(search_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search whose last trial is still to come: `let_grow` brings it."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watching, "_SHARE_OF_TIME", 1.0)
    shutil.move(search_copy / "trials/00005", search_copy / "00005")
    return search_copy


def let_grow(folder: Path) -> None:
    shutil.move(folder / "00005", folder / "trials/00005")


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_page_grows_with_the_search_and_nothing_is_written(growing: Path) -> None:
    before = listing(growing)
    with served(growing) as server:
        first = json.loads(get(server, "/state.json")[1])
        assert first["status"].startswith("5 of 6 trials have ended")
        assert listing(growing) == before
        time.sleep(0.15)
        assert json.loads(get(server, "/state.json")[1]) == first
        let_grow(growing)
        time.sleep(0.15)
        second = json.loads(get(server, "/state.json")[1])
        assert second["version"] > first["version"]
        assert second["status"].startswith("6 of 6 trials have ended")
        assert f'data-version="{second["version"]}"' in get(server, "/")[1].decode()


def test_a_search_in_an_object_store_is_drawn_again_when_it_has_grown_and_only_then(
    growing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(folder: Path, into: str = "") -> None:
        for path in folder.rglob("*"):
            if path.is_file() and "00005" not in path.relative_to(folder).parts:
                place.write(f"{into}{path.relative_to(folder).as_posix()}", path.read_bytes())

    monkeypatch.setattr(watching, "REMOTE_SECONDS", 0.0)
    monkeypatch.setenv("RDSEARCH_CACHE", str(tmp_path / "cache"))
    with s3_server() as endpoint:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        place = object_store(new_prefix())
        put(growing)
        watched = Watched(place.address)
        first = watched.state()
        assert first["status"].startswith("5 of 6 trials have ended")
        monkeypatch.setattr(watched, "_next_look", 0.0)
        assert watched.state() == first
        put(growing / "00005", "trials/00005/")
        monkeypatch.setattr(watched, "_next_look", 0.0)
        second = watched.state()
        assert second["version"] > first["version"]
        assert second["status"].startswith("6 of 6 trials have ended")
        assert f'data-version="{second["version"]}"' in watched.page().decode()


def test_it_answers_this_machine_alone_and_with_nothing_but_the_page_and_its_files(search_copy: Path) -> None:
    with served(search_copy) as server:
        assert server.server_address[0] == "127.0.0.1"
        answer, page = get(server, "/")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "http" not in policy
        assert page.count(b"<script src=") == 1
        link = next(part for part in page.decode().split('href="') if part.startswith("front/")).split('"')[0]
        assert get(server, f"/{link}")[1] == (search_copy / link).read_bytes()
        for path in ("/config.yaml", "/../search/config.yaml", "/manifest.json", "/front", "//etc/passwd"):
            assert get(server, path)[0].status == 404
        for host in ("evil.example", f"evil.example:{server.server_address[1]}", "127.0.0.1:1"):
            assert get(server, "/", Host=host)[0].status == 403


def test_before_there_are_figures_the_page_shows_what_the_search_does(search_copy: Path) -> None:
    for path in (search_copy / "manifest.json", search_copy / "trials"):
        shutil.move(path, search_copy.parent / path.name)
    with served(search_copy) as server:
        page = get(server, "/")[1].decode()
    assert "the dense network is not measured yet" in page
    assert "the run has ended: finished" in page
    assert '<meta http-equiv="refresh"' in page


def test_a_port_that_is_taken_is_told_in_a_sentence(search_copy: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SearchError, match=r"--port \d+: Address already in use; give another"):
            ReportServer(Watched(str(search_copy)), taken.getsockname()[1])


def test_a_folder_without_a_search_is_refused(run: Run, tmp_path: Path) -> None:
    status, _, err = run("watch", tmp_path)
    assert status == 2
    assert "holds no search" in err


def test_the_command_says_where_and_ends_with_ctrl_c(search_copy: Path) -> None:
    command = [sys.executable, "-c", "from rdsearch.cli import main; main()", "watch", str(search_copy)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Reading {search_copy} …\n"
        url = process.stdout.readline().split()[0]
        port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/"))
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("HEAD", "/")
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert errors == ""


@needs_browser
def test_a_browser_shows_the_next_state_and_leaves_the_reader_where_he_was(browser, growing: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    shown = "return document.getElementById('live').textContent"
    chosen = "return document.querySelector('#front-table .chosen').cells[1].textContent"
    with served(growing) as server:
        page = opened(browser, server.url, 1280)
        assert "5 of 6 trials" in page.execute_script(shown)
        page.execute_script("choose(cards.length - 1)")
        largest = page.execute_script(chosen)
        let_grow(growing)
        deadline = time.monotonic() + 60
        version = "return Number(document.getElementById('live').dataset.version)"
        while page.execute_script(version) == 1:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert "6 of 6 trials" in page.execute_script(shown)
        assert page.execute_script(chosen) == largest
    while "rdsearch watch has ended" not in page.execute_script(shown):
        assert time.monotonic() < deadline + 60
        time.sleep(0.2)
    assert not [line for line in page.get_log("browser") if "Content Security" in line["message"]]


def test_the_state_of_a_search_is_looked_at_without_reading_its_rounds(search_copy: Path) -> None:
    folder = SearchFolder.open(search_copy)
    before = list(watching._state_of(folder))
    (search_copy / "trials/00005/round_099").mkdir()
    assert list(watching._state_of(folder)) != before
