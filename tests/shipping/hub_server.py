"""A server on this machine that speaks as much of the Hugging Face Hub's language as pushing and pulling needs."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Keeps each repository's files in memory; every file is uploaded inside its commit."""

    repositories: dict[str, dict[str, bytes]]

    def log_message(self, *arguments: object) -> None:
        """Nothing on the screen."""

    def _answer(self, status: int, body: object = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _missing(self) -> None:
        self._answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[1:] == ["repos", "create"]:
            if "authorization" not in self.headers:
                self._answer(401, {"error": "Invalid credentials"})
                return
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.repositories.setdefault(name, {})
            self._answer(200, {"url": f"http://{self.headers['Host']}/{name}", "name": name})
            return
        if parts[1:] == ["validate-yaml"]:
            self._answer(200, {"errors": [], "warnings": []})
            return
        files = self.repositories["/".join(parts[2:4])]
        if parts[4] == "preupload":
            named = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._answer(200, {"files": named})
            return
        assert parts[4] == "commit"
        for line in body.splitlines():
            step = json.loads(line)
            if step["key"] == "file":
                files[step["value"]["path"]] = base64.b64decode(step["value"]["content"])
            elif step["key"] == "deletedFile":
                del files[step["value"]["path"]]
        address = f"http://{self.headers['Host']}/{'/'.join(parts[2:4])}/commit/{SHA}"
        self._answer(200, {"commitUrl": address, "commitOid": SHA, "success": True, "hookOutput": ""})

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":
            name = "/".join(parts[2:4])
            if name not in self.repositories:
                self._missing()
            elif parts[4:5] == ["tree"]:
                self._answer(
                    200,
                    [
                        {"type": "file", "path": path, "size": len(data), "oid": SHA}
                        for path, data in self.repositories[name].items()
                    ],
                )
            else:
                files = [{"rfilename": path} for path in self.repositories[name]]
                self._answer(
                    200,
                    {
                        "id": name,
                        "modelId": name,
                        "sha": SHA,
                        "siblings": files,
                        "tags": [],
                        "private": False,
                        "downloads": 0,
                        "likes": 0,
                    },
                )
            return
        name, path = "/".join(parts[:2]), "/".join(parts[4:])
        data = self.repositories[name][path]
        etag = hashlib.sha1(data).hexdigest()  # noqa: S324 - as git names contents
        self._answer(200, data, ETag=f'"{etag}"', X_Repo_Commit=SHA)

    do_HEAD = do_GET


@contextmanager
def hub() -> Iterator[tuple[str, dict[str, dict[str, bytes]]]]:
    """The server's address, and its repositories' files by name."""
    repositories: dict[str, dict[str, bytes]] = {}
    handler = type("OwnHub", (Hub,), {"repositories": repositories})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", repositories
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
