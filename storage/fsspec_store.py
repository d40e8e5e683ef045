"""The store over fsspec."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import fsspec
from fsspec import AbstractFileSystem

from strata.errors import SettingsError
from strata.storage.contract import ByteRange, FileInfo, Output, Store
from strata.storage.faults import translated
from strata.storage.handles import GuardedInput, LocalOutput, ObjectOutput, RenamedOutput
from strata.storage.options import StorageOptions
from strata.storage.url import Url

__all__ = ["FsspecStore"]

# Stores that show an object only once its upload completes; all others rename.
_OBJECT_SCHEMES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
_READ_BLOCK = 8 << 20
_IDENTITY_KEYS = ("ETag", "etag", "md5Hash", "content_md5")
_TIME_KEYS = ("mtime", "LastModified", "last_modified", "modificationTime", "updated", "created")
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:")
_LARGEST_SECONDS = 1e11


@dataclass(frozen=True, slots=True)
class FsspecStore(Store):
    """Files on any filesystem of fsspec, each with the options of its URL prefix."""

    options: StorageOptions = field(default_factory=StorageOptions)

    def open_input(self, url: Url) -> BinaryIO:
        """Open a file for reading."""
        with translated(url, "read"):
            if url.scheme == "file":
                return open(url.path, "rb")
            handle = self._filesystem(url).open(
                url.path, "rb", block_size=_READ_BLOCK, cache_type="readahead"
            )
            return cast("BinaryIO", GuardedInput(url, handle))

    def create(self, url: Url) -> Output:
        """Open a file for writing; closing it replaces one of the same name."""
        with translated(url, "write"):
            if url.scheme == "file":
                return LocalOutput(url)
            if url.scheme in _OBJECT_SCHEMES:
                return ObjectOutput(url, self._filesystem(url))
            return RenamedOutput(url, self._filesystem(url))

    def info(self, url: Url) -> FileInfo:
        """Size and identity of one file; a folder counts as missing."""
        with translated(url, "read"):
            facts = self._fresh(url).info(url.path)
            if facts.get("type") == "directory":
                raise FileNotFoundError(str(url))
            return _file_info(url, facts)

    def find(self, url: Url) -> list[FileInfo]:
        """All files below a folder, or that match a glob, or the file itself."""
        with translated(url, "list"):
            filesystem = self._fresh(url)
            found = dict(_walk(filesystem, url.path))
        prefix = str(url).removesuffix(url.path)
        prefix = f"{url.scheme}://" if prefix == str(url) else prefix
        return sorted(
            _file_info(Url.parse(f"{prefix}{path}"), facts) for path, facts in found.items()
        )

    def delete(self, url: Url) -> None:
        """Remove one file; object stores cannot tell whether it was there, so none does."""
        with translated(url, "delete"), suppress(FileNotFoundError):
            self._filesystem(url).rm_file(url.path)

    def read_ranges(self, url: Url, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges of a file, in parallel where the filesystem can."""
        with translated(url, "read"):
            paths = [url.path] * len(ranges)
            starts, ends = [r.start for r in ranges], [r.end for r in ranges]
            parts = self._filesystem(url).cat_ranges(paths, starts, ends, on_error="raise")
            return cast("list[bytes]", parts)

    def _filesystem(self, url: Url) -> AbstractFileSystem:
        kind = _kind(url)
        return kind(**(kind._get_kwargs_from_urls(str(url)) | self.options.resolve(url)))

    def _fresh(self, url: Url) -> AbstractFileSystem:
        # Listings are cached by process; another process may have written since.
        filesystem = self._filesystem(url)
        filesystem.invalidate_cache()
        return filesystem


def _kind(url: Url) -> type[AbstractFileSystem]:
    try:
        if url.scheme == "webhdfs":
            from strata.storage.webhdfs import StrataWebHdfs

            return StrataWebHdfs
        kind: type[AbstractFileSystem] = fsspec.get_filesystem_class(url.scheme)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"cannot open {url}: {error}", hint=f"install the extra for {url.scheme}://"
        ) from error
    return kind


def _walk(filesystem: AbstractFileSystem, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not glob.has_magic(path) or filesystem.exists(path):
        yield from filesystem.find(path, detail=True).items()
        return
    for match, facts in filesystem.glob(path, detail=True).items():
        if facts["type"] == "directory":
            yield from filesystem.find(match, detail=True).items()
        else:
            yield match, facts


def _file_info(url: Url, facts: Mapping[str, Any]) -> FileInfo:
    etag = next((str(facts[key]).strip('"') for key in _IDENTITY_KEYS if facts.get(key)), "")
    stamp = next((facts[key] for key in _TIME_KEYS if facts.get(key)), None)
    modified = _nanoseconds(stamp)
    identity = etag or str(stamp or 0 if modified is None else modified)
    return FileInfo(url, int(facts["size"] or 0), identity, modified)


def _nanoseconds(stamp: object) -> int | None:
    if isinstance(stamp, str) and _ISO_TIME.match(stamp):
        stamp = datetime.fromisoformat(stamp)
    if isinstance(stamp, datetime):
        # Stores that leave the zone out mean UTC.
        stamp = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    if not isinstance(stamp, (int, float)):
        return None
    # WebHDFS counts milliseconds, all others seconds.
    return round(stamp * (1e6 if stamp > _LARGEST_SECONDS else 1e9))
