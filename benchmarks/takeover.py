"""How long a machine takes to take over a search in a far object store: ``python -m benchmarks.takeover``.

The store is made up, a process that knows what a search of so many rounds has put there and answers each request after
a while; client, copy, checksums and points are the real ones. Three rounds a trial, all trials settled.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from benchmarks.pruning import machine
from rdsearch.points.point import OperatingPoint
from rdsearch.search.store.mirror import TRIALS, Mirror
from rdsearch.search.store.news import _TRIALS_TOGETHER, FIGURES
from rdsearch.search.store.objectstore import ObjectStore
from rdsearch.search.store.rounds import RoundStore, _stored, sealed

ROUNDS = 3
_PAGE = 1000
_PARAMETERS = {"pruning.method": "global", "pruning.rounds": ROUNDS, "pruning.rate": 0.31, "retrain.lr": 1e-3,
               "quantization.method": "rate_aware", "quantization.step": 0.4}  # fmt: skip


def _point(trial: int, round_: int) -> str:
    point = OperatingPoint(
        1000, 0.9, 0.05, 100.0, 0.5, 1.5, 0.25, round_, trial=trial, parameters=_PARAMETERS, sha256="0" * 64
    )
    return sealed(_stored(trial, point) | {"file": "network-0123456789ab.rdz"}).decode()


def _content(trials: int) -> dict[str, bytes]:
    """What is read: the other objects are only listed."""
    found = {"config.yaml": b"id: search\n"}
    for first in range(0, trials, _TRIALS_TOGETHER):
        bundle = {}
        for trial in range(first, min(trials, first + _TRIALS_TOGETHER)):
            bundle[f"{trial:05d}/outcome.json"] = '{"state": "complete", "message": ""}'
            for round_ in range(1, ROUNDS + 1):
                bundle[f"{trial:05d}/round_{round_:03d}/point.json"] = _point(trial, round_)
        name = f"{TRIALS}/{FIGURES}/{first:05d}-0123456789ab.json.gz"
        found[name] = gzip.compress(json.dumps(bundle).encode(), 6)
    return found


def serve(trials: int, seconds: float, pipe: Connection) -> None:
    content = _content(trials)
    names = [*content]
    for trial in range(trials):
        names.append(f"{TRIALS}/{trial:05d}/outcome.json")
        for round_ in range(1, ROUNDS + 1):
            names += [
                f"{TRIALS}/{trial:05d}/round_{round_:03d}/{file}" for file in ("network-0123456789ab.rdz", "point.json")
            ]
    names.sort()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(seconds)
            parts = urlsplit(self.path)
            asked = parse_qs(parts.query)
            if "list-type" in asked:
                data = self._page(int(asked.get("continuation-token", ["0"])[0]))
            else:
                data = content[parts.path.partition("/search/")[2]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _page(self, start: int) -> bytes:
            keys = "".join(
                f"<Contents><Key>search/{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                "<Size>1</Size></Contents>"
                for name in names[start : start + _PAGE]
            )
            more = start + _PAGE < len(names)
            token = f"<NextContinuationToken>{start + _PAGE}</NextContinuationToken>" if more else ""
            head = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            return f"<ListBucketResult>{head}{keys}</ListBucketResult>".encode()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send((server.server_port, len(names)))
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--latency", type=float, default=30.0, help="milliseconds to the store and back")
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    trials = -(-arguments.rounds // ROUNDS)
    server = multiprocessing.Process(target=serve, args=(trials, arguments.latency / 1e3, there), daemon=True)
    server.start()
    port, objects = here.recv()
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {
            "RDSEARCH_CACHE": cache,
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
        copy = Mirror(ObjectStore("s3://bucket/search"))
        start, cpu = time.perf_counter(), time.process_time()
        copy.pull()
        pulled = time.perf_counter() - start
        points = RoundStore(copy.path / TRIALS).all_points()
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
    server.terminate()
    server.join()
    print(machine())
    print(
        f"{len(points):,} rounds of {trials:,} trials, {objects:,} objects, {arguments.latency:g} ms a request: "
        f"copied in {pulled:.1f} s, points read after {took:.1f} s, {cpu:.1f} s of them processor"
    )


if __name__ == "__main__":
    main()
