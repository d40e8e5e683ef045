"""What transfers need of WebHDFS: counted requests, ranges, storage policies and endpoints."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

from strata.errors import SettingsError
from strata.storage.contracts.store import ByteRange
from strata.storage.contracts.url import Url
from strata.storage.transfer.metering import Event, record

if TYPE_CHECKING:
    from requests import Response

__all__ = ["host_and_port", "prepare", "read_range", "set_storage_policy"]

_READING = frozenset({"GET", "HEAD"})
_PORT = 9870
_TOKEN = re.compile(r"(?i)\b((?:delegation|token)=)[^&\s'\")]+")
# What servers answer to a name or an operation that they do not know.
_UNKNOWN = frozenset({errno.EINVAL, errno.EIO, errno.ENOTSUP})


def prepare(filesystem: AbstractFileSystem, timeout_seconds: float) -> None:
    """Count the requests of a filesystem, and give each of them a timeout."""
    session = filesystem.session
    # First, because the hook that raises errors ends the chain of hooks.
    session.hooks["response"].insert(0, _count)
    session.request = partial(_without_secrets, session.request, timeout=timeout_seconds)


def _without_secrets(
    request: Callable[..., Response], *args: object, **options: object
) -> Response:
    """A request whose errors do not reveal its delegation token, which is a part of the URL."""
    from requests import RequestException

    try:
        return request(*args, **options)
    except RequestException as error:
        told = _TOKEN.sub(r"\1***", str(error))
        # The cause has the token too.
        raise type(error)(told, response=error.response) from None


def _count(response: Response, **_: object) -> None:
    record(Event.READ if response.request.method in _READING else Event.WRITE)


def read_range(filesystem: AbstractFileSystem, path: str, span: ByteRange) -> bytes:
    """The bytes of a range, or fewer where the file ends."""
    length = span.end - span.start
    answer = filesystem._call("OPEN", path=path, offset=span.start, length=length, redirect=False)
    if "Location" in answer.headers:
        answer = filesystem.session.get(filesystem._apply_proxy(answer.headers["Location"]))
    data: bytes = answer.content
    return data


def set_storage_policy(filesystem: AbstractFileSystem, folder: Url, policy: str) -> None:
    """Give a folder a storage policy, which files that are later written below it inherit.

    Raises:
        SettingsError: the server has no such policy, or no policies at all (before Hadoop 2.8).
    """
    filesystem.makedirs(folder.path, exist_ok=True)
    try:
        filesystem._call("SETSTORAGEPOLICY", method="put", path=folder.path, storagepolicy=policy)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        raise SettingsError(
            f"{folder} cannot have the storage policy {policy!r}: {error}",
            hint="name a policy that `hdfs storagepolicies -listPolicies` shows, or leave "
            "storage_policy out of the tier (WebHDFS sets it from Hadoop 2.8 on)",
        ) from error


def host_and_port(endpoint: str) -> dict[str, Any]:
    """Arguments of the filesystem for an endpoint: ``host:port``, or a URL of a namenode."""
    scheme, mark, rest = endpoint.rpartition("://")
    host, _, port = rest.rstrip("/").partition(":")
    found: dict[str, Any] = {"host": host, "port": int(port or _PORT)}
    return found | ({"use_https": True} if mark and scheme == "https" else {})
