"""An S3 server in this process that fails when a test says so: real sockets, real answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Fault", "FaultyS3", "Request", "faulty_s3"]

SLOW_DOWN = (
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class Fault(StrEnum):
    """What happens to a request."""

    SLOW_DOWN = "slow down"
    LOST_ANSWER = "lost answer"
    TORN_BODY = "torn body"
    RESET = "reset"
    NO_FACTS = "no facts"
    """The answer tells neither ETag nor time of change."""
    NO_RANGES = "no ranges"
    """The whole object is sent, whichever range was asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the server saw it."""

    method: str
    path: str
    query: str
    span: str
    storage_class: str


@dataclass(slots=True)
class FaultyS3:
    """A server; ``fault`` looks at each request, and may answer with a fault."""

    endpoint: str = ""
    fault: Callable[[Request], Fault | None] | None = None
    requests: list[Request] = field(default_factory=list)
    inner: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ["QUERY_STRING"],
            environ.get("HTTP_RANGE", ""),
            environ.get("HTTP_X_AMZ_STORAGE_CLASS", ""),
        )
        with self.lock:
            self.requests.append(request)
            fault = self.fault(request) if self.fault else None
        if fault is Fault.SLOW_DOWN:
            # The body is taken first, or the client would see a reset in the place of the answer.
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [SLOW_DOWN]
        if fault is Fault.RESET:
            return _cut(environ)
        if fault is Fault.NO_RANGES:
            environ.pop("HTTP_RANGE", None)
        if fault is Fault.NO_FACTS:
            start_response = _without_facts(start_response)
        body = self.inner(environ, start_response)
        if fault is Fault.LOST_ANSWER:
            b"".join(body)
            return _cut(environ)
        return _torn(body, environ) if fault is Fault.TORN_BODY else body

    def options(self) -> dict[str, Any]:
        """fsspec options that reach the server."""
        return {
            "key": "key",
            "secret": "secret",
            "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
        }

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A boto3 client of the server."""
        import boto3

        options = self.options()
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=options["key"],
            aws_secret_access_key=options["secret"],
            region_name="us-east-1",
        )
        try:
            yield client
        finally:
            client.close()


def _without_facts(start_response: Any) -> Any:
    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        told = [each for each in headers if each[0].lower() not in ("etag", "last-modified")]
        return start_response(status, told, *rest)

    return start


def _cut(environ: dict[str, Any]) -> list[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


def _torn(body: Iterable[bytes], environ: dict[str, Any]) -> Iterator[bytes]:
    whole = b"".join(body)
    yield whole[: len(whole) // 2]
    _cut(environ)


@contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    """A server with a bucket `bucket`."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            """Say nothing."""

    server = FaultyS3(inner=DomainDispatcherApplication(create_backend_app))
    http = make_server("127.0.0.1", 0, server, threaded=True, request_handler=Quiet)
    http.log = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server.endpoint = f"http://127.0.0.1:{http.server_port}"
    with server.client() as client:
        client.create_bucket(Bucket="bucket")
    server.requests.clear()
    yield server
    http.shutdown()
    http.server_close()
    thread.join()
