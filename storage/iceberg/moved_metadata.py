"""Copies of a table's metadata files in which locations are replaced by others.

Nothing else changes, apart from lengths of files that are recorded beside their locations. Avro
files are read and written by the schema that they carry themselves, and metadata as plain JSON, so
that fields stay which PyIceberg does not know.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyiceberg.avro.file import AvroFile, AvroOutputFile
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import NestedField, StructType

from strata.errors import ConflictError, InputError, StrataError
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.file_io import StoreFile

__all__ = [
    "ListedManifest",
    "ManifestedFile",
    "MovedManifest",
    "move_locations",
    "read_manifest",
    "read_manifest_list",
    "read_metadata",
    "snapshot_lists",
    "write_moved_list",
    "write_moved_manifest",
]

Metadata = dict[str, Any]
Mover = Callable[[str], str]

# Ids of fields, https://iceberg.apache.org/spec/#manifests
_STATUS, _DATA_FILE = 0, 2
_CONTENT, _PATH, _ROWS, _BYTES, _REFERENCED = 134, 100, 103, 104, 143
_MANIFEST_PATH, _MANIFEST_BYTES = 500, 501
_POSITION_DELETES = 1
_SCHEMA_KEY = "avro.schema"


@dataclass(frozen=True, slots=True)
class ManifestedFile:
    """A file that a manifest names.

    Attributes:
        location: as it is spelled.
        n_bytes: size.
        rows: number of rows.
        is_live: whether the snapshots of the manifest have it; else it says that it was removed.
    """

    location: str
    n_bytes: int
    rows: int
    is_live: bool


@dataclass(frozen=True, slots=True)
class ListedManifest:
    """A manifest that a manifest list names: its location as it is spelled, and its size."""

    location: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class MovedManifest:
    """Where the moved copy of a manifest is, and its size; None where that is as it was."""

    location: str
    n_bytes: int | None


def read_metadata(store: Store, url: Url) -> Metadata:
    """A metadata file as it is.

    Raises:
        InputError: it is not readable.
        InputMissingError: it is not there.
    """
    data = store.read_bytes(url)
    try:
        if url.name.endswith(".gz.metadata.json"):
            data = gzip.decompress(data)
        found = json.loads(data)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{url} is not readable as metadata of a table: {error}",
            hint="put it back from a copy of its store",
        ) from error
    if not isinstance(found, dict):
        raise InputError(
            f"{url} is not metadata of a table", hint="put it back from a copy of its store"
        )
    return found


def snapshot_lists(metadata: Metadata) -> list[str]:
    """Locations of the manifest lists of all snapshots, as they are spelled."""
    return [each["manifest-list"] for each in metadata.get("snapshots") or ()]


def move_locations(metadata: Metadata, move: Mover, uuid: str | None) -> Metadata:
    """The same metadata with every location replaced; with another table id unless that is None."""
    moved = dict(metadata)
    moved["location"] = move(metadata["location"])
    for kind, name in (
        ("snapshots", "manifest-list"),
        ("metadata-log", "metadata-file"),
        ("statistics", "statistics-path"),
        ("partition-statistics", "statistics-path"),
    ):
        if kind in metadata:
            moved[kind] = [each | {name: move(each[name])} for each in metadata[kind] or ()]
    if "properties" in metadata:
        given = metadata["properties"] or {}
        moved["properties"] = {
            name: move(value) if _is_location(value) else value for name, value in given.items()
        }
    if uuid is not None:
        moved["table-uuid"] = uuid
    return moved


def _is_location(value: object) -> bool:
    return isinstance(value, str) and ("://" in value or value.startswith("/"))


def read_manifest_list(store: Store, url: Url) -> list[ListedManifest]:
    """The manifests of a snapshot."""
    avro = _read(store, url)
    path, size = (_place(avro.schema.fields, each) for each in (_MANIFEST_PATH, _MANIFEST_BYTES))
    return [ListedManifest(row[path], row[size]) for row in avro.rows]


def read_manifest(store: Store, url: Url) -> list[ManifestedFile]:
    """The files that a manifest names.

    Raises:
        ConflictError: it has files of row positions to delete, which have locations inside.
    """
    avro = _read(store, url)
    entries = _Entries(avro.schema)
    found = []
    for row in avro.rows:
        file = row[entries.data_file]
        if entries.content is not None and file[entries.content] == _POSITION_DELETES:
            raise ConflictError(
                f"{file[entries.path]} deletes rows by the locations of their files, and {url} "
                "refers to it",
                hint="have the engine that wrote it rewrite the table without such files, and "
                "expire the snapshots that have them",
            )
        status = row[entries.status]
        found.append(
            ManifestedFile(
                file[entries.path],
                file[entries.size],
                file[entries.rows],
                status != ManifestEntryStatus.DELETED.value,
            )
        )
    return found


def write_moved_manifest(store: Store, source: Url, target: Url, move: Mover) -> int:
    """Write the copy of a manifest with other locations of files.

    Returns:
        Its size in bytes.
    """
    avro = _read(store, source)
    entries = _Entries(avro.schema)
    for row in avro.rows:
        file = row[entries.data_file]
        file[entries.path] = move(file[entries.path])
        if entries.referenced is not None and file[entries.referenced] is not None:
            file[entries.referenced] = move(file[entries.referenced])
    return _write(store, target, avro, "manifest_entry")


def write_moved_list(
    store: Store, source: Url, target: Url, moved: Mapping[str, MovedManifest]
) -> None:
    """Write the copy of a manifest list with other manifests.

    Args:
        store: where the files are.
        source: the list.
        target: its copy.
        moved: what takes the place of each manifest, by its location as it is spelled.
    """
    avro = _read(store, source)
    path, size = (_place(avro.schema.fields, each) for each in (_MANIFEST_PATH, _MANIFEST_BYTES))
    for row in avro.rows:
        new = moved[row[path]]
        row[path] = new.location
        if new.n_bytes is not None:
            row[size] = new.n_bytes
    _write(store, target, avro, "manifest_file")


@dataclass(frozen=True, slots=True)
class _Avro:
    schema: Schema
    meta: Mapping[str, str]
    rows: list[Record]


def _read(store: Store, url: Url) -> _Avro:
    try:
        with AvroFile[Record](StoreFile(store, str(url))) as file:
            return _Avro(file.schema, dict(file.header.meta), list(file))
    except StrataError:
        raise
    except Exception as error:
        # PyIceberg's decoder has no error of its own.
        raise InputError(
            f"{url} is not readable as a manifest: {type(error).__name__}: {error}",
            hint="put it back from a copy of its store",
        ) from error


def _write(store: Store, url: Url, avro: _Avro, name: str) -> int:
    meta = {key: value for key, value in avro.meta.items() if key != _SCHEMA_KEY}
    with AvroOutputFile[Record](StoreFile(store, str(url)), avro.schema, name, None, meta) as out:
        out.write_block(avro.rows)
        return out.tell()


class _Entries:
    """Places of the fields of a manifest's entries; None for those that it does not have."""

    def __init__(self, schema: Schema) -> None:
        fields = schema.fields
        self.status = _place(fields, _STATUS)
        self.data_file = _place(fields, _DATA_FILE)
        inner = fields[self.data_file].field_type
        assert isinstance(inner, StructType)
        self.path, self.rows, self.size = (
            _place(inner.fields, each) for each in (_PATH, _ROWS, _BYTES)
        )
        self.content = _optional(inner.fields, _CONTENT)
        self.referenced = _optional(inner.fields, _REFERENCED)


def _place(fields: Sequence[NestedField], number: int) -> int:
    return next(place for place, field in enumerate(fields) if field.field_id == number)


def _optional(fields: Sequence[NestedField], number: int) -> int | None:
    return next((place for place, field in enumerate(fields) if field.field_id == number), None)
