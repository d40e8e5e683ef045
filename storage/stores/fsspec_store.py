"""The store over fsspec."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem

from strata.errors import ConcurrentChangeError, TransientError
from strata.storage.contracts.faults import BrokenReadError, as_strata_error, translated
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import ByteRange, FileInfo, FileKind, Output, PartUpload, Store
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.layout.file_names import STAGING
from strata.storage.stores import webhdfs
from strata.storage.stores.endpoints import endpoint_failed, next_endpoint
from strata.storage.stores.filesystems import (
    COUNTING_SCHEMES,
    S3_SCHEMES,
    WEBHDFS_SCHEMES,
    open_filesystem,
)
from strata.storage.stores.handles import (
    LocalOutput,
    ObjectOutput,
    RenamedOutput,
    SyncedOutput,
)
from strata.storage.transfer.metering import Event, record
from strata.storage.transfer.reading import RangedInput, RangePlan

__all__ = ["FsspecStore"]

# Stores where an object becomes visible only when its upload completes; all others rename.
_OBJECT_SCHEMES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
_READ_BLOCK = 8 << 20
_IDENTITY_KEYS = ("ETag", "etag", "md5Hash", "content_md5")
_TIME_KEYS = (
    "mtime",
    "LastModified",
    "last_modified",
    "Last-Modified",
    "modificationTime",
    "updated",
    "created",
)
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:")
_LARGEST_SECONDS = 1e11
# Stores where it costs nothing to check whether a file is still the same.
_MEMORY = "memory"
# libhdfs takes the replication when it connects, WebHDFS for each file.
_HDFS = "hdfs"
# Storage policies that this process has set; setting one again would be a request for each file.
_POLICIES_SET: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class FsspecStore(Store):
    """Files on any filesystem of fsspec, each with the options of its URL prefix.

    Each call is one attempt, at the endpoint whose turn it is.

    Attributes:
        options: how to reach the files.
        pin: the only version of its file that may be read; other files are read in any version.
    """

    options: StorageOptions = field(default_factory=StorageOptions)
    pin: FileInfo | None = None

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file for reading."""
        if url.scheme == LOCAL:
            with translated(url, "read"):
                return open(url.path, "rb")
        info = self.info(url)
        return cast("BinaryIO", RangedInput(self.pinned(info), info, RangePlan(_READ_BLOCK)))

    def create(self, url: Url) -> Output:
        """Open a file for writing; closing it replaces one of the same name."""
        if url.scheme == LOCAL:
            with translated(url, "write"):
                return SyncedOutput(url) if self._must_last(url) else LocalOutput(url)
        with self._attempt(url, "write") as filesystem:
            extra = self._extra(url, filesystem)
            if url.scheme in _OBJECT_SCHEMES:
                return ObjectOutput(url, filesystem, extra)
            return RenamedOutput(url, filesystem, extra)

    def upload(self, url: Url) -> PartUpload | None:
        """An upload in parts on S3; other stores have none."""
        if url.scheme not in S3_SCHEMES:
            return None
        from strata.storage.stores.s3 import S3Upload

        return S3Upload(partial(self._attempt, url, "write"), url.path, self._extra(url, None))

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file; a folder counts as missing."""
        with self._attempt(url, "read") as filesystem:
            filesystem.invalidate_cache()
            facts = filesystem.info(url.path)
            if facts.get("type") == "directory":
                raise FileNotFoundError(str(url))
            return _file_info(url, facts)

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder, or that match a glob, or the file itself."""
        with self._attempt(url, "list") as filesystem:
            # Listings are cached by process; another process may have written since.
            filesystem.invalidate_cache()
            found = dict(_walk(filesystem, url.path))
        prefix = url.spelled.removesuffix(url.path)
        prefix = f"{url.scheme}://" if prefix == url.spelled else prefix
        # A local listing has absolute paths already.
        urls = Url.parse if url.scheme != LOCAL else _local_url
        infos = [_file_info(urls(f"{prefix}{path}"), facts) for path, facts in found.items()]
        return sorted(infos, key=lambda info: info.url.rest)

    def delete(self, url: Url) -> None:
        """Remove one file; object stores cannot report whether it existed, so no store does."""
        with self._attempt(url, "delete") as filesystem, suppress(FileNotFoundError):
            filesystem.rm_file(url.path)

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges of a file, one after the other."""
        if url.scheme != LOCAL:
            return [self._read_range(url, span) for span in ranges]
        with self._attempt(url, "read") as filesystem:
            paths = [url.path] * len(ranges)
            starts, ends = [r.start for r in ranges], [r.end for r in ranges]
            parts = filesystem.cat_ranges(paths, starts, ends, on_error="raise")
            return cast("list[bytes]", parts)

    def read_tail(self, url: Url, count: int) -> tuple[FileInfo, bytes]:
        """Size and identity of one file, and its last ``count`` bytes, or all that it has."""
        if url.scheme not in S3_SCHEMES:
            return Store.read_tail(self, url, count)
        from strata.storage.stores.s3 import is_range_past_the_end

        with self._attempt(url, "read") as filesystem:
            try:
                facts, data = filesystem.read_tail(url.path, count)
            except OSError as error:
                # An empty object has no last bytes.
                if not is_range_past_the_end(error):
                    raise
                return self.info(url), b""
            return _file_info(url, facts), data

    def pinned(self, info: FileInfo) -> FsspecStore:
        """The store for reading one version of a file; S3 and memory detect its replacement."""
        return replace(self, pin=info)

    def _must_last(self, url: Url) -> bool:
        """Whether a local file has to survive a power cut; one that ends with its run does not."""
        root, place = self.options.warehouse, str(url)
        staged = root and place.startswith(f"{root}/") and STAGING in place[len(root) :].split("/")
        return self.options.transfer.sync and not staged

    def _read_range(self, url: Url, span: ByteRange) -> bytes:
        if span.start >= span.end:
            return b""
        with self._attempt(url, "read") as filesystem:
            if url.scheme in S3_SCHEMES:
                return self._read_s3(url, span, filesystem)
            if url.scheme in WEBHDFS_SCHEMES:
                return webhdfs.read_range(filesystem, url.path, span)
            data = filesystem.cat_file(url.path, start=span.start, end=span.end)
            if url.scheme == _MEMORY and self.pin and self.pin.url == url:
                _check_version(self.pin, _file_info(url, filesystem.info(url.path)))
            return cast("bytes", data)

    def _read_s3(self, url: Url, span: ByteRange, filesystem: AbstractFileSystem) -> bytes:
        etag = self.pin.identity if self.pin and self.pin.url == url else ""
        into: list[bytes] = []
        try:
            filesystem.read_range(url.path, span, etag, into)
        except Exception as error:
            from strata.storage.stores.s3 import is_range_past_the_end

            if is_range_past_the_end(error):
                return b""
            told = as_strata_error(error, url, "read")
            if not (into and isinstance(told, TransientError)):
                raise
            broken = BrokenReadError(told.reason, hint=told.hint)
            broken.data = b"".join(into)
            raise broken from error
        return b"".join(into)

    @contextmanager
    def _attempt(self, url: Url, action: str) -> Iterator[Any]:
        options, policy = self.options.resolve(url), self.options.transfer
        hints = self.options.hints_of(url)[1]
        if url.scheme == _HDFS and hints.replication:
            options["replication"] = hints.replication
        endpoints, endpoint = hints.endpoints, next_endpoint(hints.endpoints)
        if url.scheme not in COUNTING_SCHEMES and url.scheme != LOCAL:
            record(Event.READ if action in ("read", "list") else Event.WRITE)
        try:
            with translated(url, action):
                yield open_filesystem(url, options, endpoint, policy)
        except TransientError:
            endpoint_failed(endpoint, endpoints)
            raise

    def _extra(self, url: Url, filesystem: AbstractFileSystem | None) -> dict[str, Any]:
        """What the tier requests, as arguments for creating a file."""
        tier, hints = self.options.hints_of(url)
        if url.scheme in S3_SCHEMES:
            return {"StorageClass": hints.storage_class} if hints.storage_class else {}
        if hints.storage_policy and (tier, hints.storage_policy) not in _POLICIES_SET:
            webhdfs.set_storage_policy(filesystem, Url.parse(tier), hints.storage_policy)
            _POLICIES_SET.add((tier, hints.storage_policy))
        if url.scheme not in WEBHDFS_SCHEMES or not hints.replication:
            return {}
        return {"replication": hints.replication}


def _check_version(pin: FileInfo, now: FileInfo) -> None:
    if now.identity != pin.identity:
        raise ConcurrentChangeError(
            f"{pin.url} was replaced while it was read", hint="run the same command again"
        )


def _walk(filesystem: AbstractFileSystem, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not glob.has_magic(path) or filesystem.exists(path):
        yield from filesystem.find(path, detail=True).items()
        return
    for match, facts in filesystem.glob(path, detail=True).items():
        if facts["type"] == "directory":
            yield from filesystem.find(match, detail=True).items()
        else:
            yield match, facts


def _local_url(spelled: str) -> Url:
    return Url(LOCAL, spelled.removeprefix(f"{LOCAL}://"))


def _file_info(url: Url, facts: Mapping[str, Any]) -> FileInfo:
    etag = next((str(facts[key]).strip('"') for key in _IDENTITY_KEYS if facts.get(key)), "")
    stamp = next((facts[key] for key in _TIME_KEYS if facts.get(key)), None)
    modified = _nanoseconds(stamp)
    identity = etag or str(stamp or "" if modified is None else modified)
    return FileInfo(url, int(facts["size"] or 0), identity, modified, _kind(url, facts))


def _kind(url: Url, facts: Mapping[str, Any]) -> FileKind:
    if facts.get("type") != "other" or url.scheme != LOCAL:
        return FileKind.FILE
    try:
        mode = os.stat(url.path).st_mode
    except OSError:
        return FileKind.DANGLING_LINK
    if stat.S_ISDIR(mode):
        return FileKind.LINKED_FOLDER
    return FileKind.FILE if stat.S_ISREG(mode) else FileKind.SPECIAL_FILE


def _nanoseconds(stamp: object) -> int | None:
    if isinstance(stamp, str) and _ISO_TIME.match(stamp):
        stamp = datetime.fromisoformat(stamp)
    if isinstance(stamp, datetime):
        # Stores that leave out the zone mean UTC.
        stamp = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    if not isinstance(stamp, (int, float)):
        return None
    # WebHDFS counts in milliseconds, all others in seconds.
    return round(stamp * (1e6 if stamp > _LARGEST_SECONDS else 1e9))
