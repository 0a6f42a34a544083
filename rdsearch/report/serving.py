"""A search's report over HTTP, for browsers on this machine alone."""

from __future__ import annotations

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from plotly.offline import get_plotlyjs

from rdsearch.errors import SearchError
from rdsearch.report.templating import LIVE_POLICY, PLOTLY_NAME
from rdsearch.report.watching import Watched

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_HEADERS = {
    "Content-Security-Policy": f"{LIVE_POLICY}; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ReportServer(ThreadingHTTPServer):
    """Serves the page, the files that it links, and whether it has changed; it answers nothing else.

    Args:
        watched: The search.
        port: Where to listen; any free one when 0.

    Raises:
        SearchError: The port is taken, or may not be used.
    """

    daemon_threads = True

    def __init__(self, watched: Watched, port: int = 0) -> None:
        self.watched = watched
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise SearchError(f"--port {port}: {why}; give another, or leave it out for a free one") from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    server_version = "rdsearch"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a browser."""
        name, _, port = self.headers.get("Host", "").rpartition(":")
        if name not in _NAMES or port != str(self.server.server_address[1]):
            # A page from elsewhere whose name was made to point here would have its own name.
            self._answer(HTTPStatus.FORBIDDEN, b"this server answers as 127.0.0.1 alone", "text/plain")
            return
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        if path == "":
            self._answer(HTTPStatus.OK, self.server.watched.page(), "text/html; charset=utf-8")
        elif path == "state.json":
            self._answer(HTTPStatus.OK, json.dumps(self.server.watched.state()).encode(), "application/json")
        elif path == PLOTLY_NAME:
            self._answer(HTTPStatus.OK, get_plotlyjs().encode(), "text/javascript; charset=utf-8", kept=True)
        elif (data := self.server.watched.file(path)) is not None:
            self._answer(HTTPStatus.OK, data, "application/octet-stream")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page", "text/plain")

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _answer(self, status: HTTPStatus, body: bytes, kind: str, *, kept: bool = False) -> None:
        self.send_response(status)
        caching = "max-age=31536000, immutable" if kept else "no-store"
        for header, value in {**_HEADERS, "Content-Type": kind, "Cache-Control": caching}.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, form: str, *arguments: object) -> None:
        """Nothing: a line for every look would bury the address."""
