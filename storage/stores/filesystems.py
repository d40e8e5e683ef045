"""The filesystems of fsspec that this process has open, one for each place and endpoint."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

from strata.errors import SettingsError
from strata.storage.contracts.transfer_policy import TransferPolicy
from strata.storage.contracts.url import Url
from strata.storage.stores import webhdfs

__all__ = ["COUNTING_SCHEMES", "S3_SCHEMES", "WEBHDFS_SCHEMES", "open_filesystem"]

S3_SCHEMES = frozenset({"s3", "s3a"})
WEBHDFS_SCHEMES = frozenset({"webhdfs"})
COUNTING_SCHEMES = S3_SCHEMES | WEBHDFS_SCHEMES
"""Schemes whose filesystems count each of their requests."""
_CONNECT_SECONDS = 10.0

# fsspec keeps one instance per thread; each thread of a transfer would open its own connections.
_open: dict[tuple[str, ...], AbstractFileSystem] = {}
# Reentrant: a finalizer that drops an output may run while its thread holds the lock.
_lock = threading.RLock()


def _forget() -> None:
    global _lock
    _lock = threading.RLock()
    _open.clear()


os.register_at_fork(after_in_child=_forget)


def open_filesystem(
    url: Url, options: Mapping[str, Any], endpoint: str | None, policy: TransferPolicy
) -> AbstractFileSystem:
    """The filesystem that holds ``url``.

    Args:
        url: any URL on it.
        options: keyword arguments of the filesystem.
        endpoint: address to use instead of the usual one.
        policy: limits of its requests.

    Raises:
        SettingsError: fsspec has no such filesystem, or it takes no endpoint.
    """
    kind = _kind(url)
    known = {**kind._get_kwargs_from_urls(url.spelled), **options}
    arguments = known | _tuned(url.scheme, known, endpoint, policy)
    key = (url.scheme, json.dumps(arguments, sort_keys=True, default=repr))
    with _lock:
        found = _open.get(key)
        if found is None:
            found = _open[key] = kind(**arguments)
            if url.scheme in WEBHDFS_SCHEMES:
                webhdfs.prepare(found, policy.timeout_seconds)
        return found


def _kind(url: Url) -> type[AbstractFileSystem]:
    try:
        if url.scheme in S3_SCHEMES:
            from strata.storage.stores.s3 import StrataS3

            return StrataS3
        if url.scheme in WEBHDFS_SCHEMES:
            from strata.storage.stores.webhdfs_filesystem import StrataWebHdfs

            return StrataWebHdfs
        kind: type[AbstractFileSystem] = fsspec.get_filesystem_class(url.scheme)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"cannot open {url}: {error}", hint=f"install the extra for {url.scheme}://"
        ) from error
    return kind


def _tuned(
    scheme: str, options: Mapping[str, Any], endpoint: str | None, policy: TransferPolicy
) -> dict[str, Any]:
    if scheme in S3_SCHEMES:
        config = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": min(_CONNECT_SECONDS, policy.timeout_seconds),
            "read_timeout": policy.timeout_seconds,
            "max_pool_connections": 2 * policy.window + 2,
        }
        tuned = {"config_kwargs": config | options.get("config_kwargs", {})}
        return tuned | ({"endpoint_url": endpoint} if endpoint else {})
    if scheme in WEBHDFS_SCHEMES:
        # An instance in fsspec's own cache may be in use elsewhere and must not be changed.
        own = {"skip_instance_cache": True}
        return own | (webhdfs.host_and_port(endpoint) if endpoint else {})
    if endpoint:
        raise SettingsError(
            f"{scheme}:// has one endpoint, but the tier names {endpoint!r}",
            hint="endpoints are for s3:// and webhdfs://",
        )
    return {}
