"""Requests to an object store: all stages with inputs and warehouse on an S3 server."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.corpus import Corpus

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

__all__ = ["StoreTraffic", "measure_requests"]

SETTINGS = """
corpus = "bench"
warehouse = "s3://bench/warehouse"
[[inputs]]
path = "s3://bench/input/*.jsonl.zst"
source = "bench"
[catalog]
uri = "sqlite:///{folder}/catalog.db"
[storage_options."s3://bench"]
key = "key"
secret = "env:STRATA_BENCH_S3_SECRET"
endpoint_url = "{endpoint}"
client_kwargs = {{ region_name = "us-east-1" }}
[tokenize]
tokenizer = "{tokenizer}"
"""
INPUT_FILES = 2


@dataclass(frozen=True, slots=True)
class StoreTraffic:
    """Requests and MB (10^6 bytes) of one kind."""

    kind: str
    requests: int
    megabytes: float

    @property
    def per_mb(self) -> float:
        """Requests for each MB."""
        return self.requests / self.megabytes if self.megabytes else 0.0


class _Counted:
    """A WSGI application that counts what passes to another."""

    def __init__(self, inner: WSGIApplication) -> None:
        self._inner = inner
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        kinds = {"/input/": "inputs", "/metadata/": "table metadata"}
        place = next((kind for part, kind in kinds.items() if part in path), "data files")
        kind = f"{'read' if method in ('GET', 'HEAD') else 'write'} {place}"
        self.requests[kind] += 1
        self.bytes[kind] += int(environ.get("CONTENT_LENGTH") or 0)
        for part in self._inner(environ, start_response):
            if method == "GET":
                self.bytes[kind] += len(part)
            yield part


def measure_requests(corpus: Corpus, tokenizer: Path, scratch: Path) -> list[StoreTraffic]:
    """Run all stages against a server on a loopback port, and count at the server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    counted = _Counted(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, counted, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        _upload(corpus, endpoint)
        counted.requests.clear()
        counted.bytes.clear()
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "catalog.db").unlink(missing_ok=True)
        file = scratch / "s3.toml"
        file.write_text(SETTINGS.format(folder=scratch, endpoint=endpoint, tokenizer=tokenizer))
        subprocess.run(
            [sys.executable, "-m", "strata.jobs.console", "run", str(file), "-q"],
            check=True,
            env={**os.environ, "STRATA_BENCH_S3_SECRET": "secret"},
        )
    finally:
        server.shutdown()
    return [
        StoreTraffic(kind, number, counted.bytes[kind] / 1e6)
        for kind, number in sorted(counted.requests.items())
    ]


def _upload(corpus: Corpus, endpoint: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bench")
    files = sorted(corpus.folder.glob("*.jsonl.zst"))
    for part in range(INPUT_FILES):
        # Frames of zstd may follow each other: fewer and larger files, as corpora are kept.
        data = b"".join(file.read_bytes() for file in files[part::INPUT_FILES])
        client.put_object(Bucket="bench", Key=f"input/part-{part}.jsonl.zst", Body=data)
    client.close()
