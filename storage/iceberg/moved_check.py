"""Whether the moved copy of a table's metadata says the same as the original, read by PyIceberg."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.manifest import DataFile, ManifestEntryStatus, ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata

from strata.errors import BalanceError
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.file_io import StoreFile

__all__ = ["check_moved"]

Mover = Callable[[str], str]

# What a moved copy has in common with the original; snapshots are compared one by one.
_SAME = (
    *("format_version", "last_updated_ms", "last_column_id", "schemas", "current_schema_id"),
    *("partition_specs", "default_spec_id", "last_partition_id", "sort_orders", "refs"),
    *("default_sort_order_id", "current_snapshot_id", "snapshot_log", "last_sequence_number"),
)
_SAME_OF_SNAPSHOT = (
    *("snapshot_id", "parent_snapshot_id", "sequence_number", "timestamp_ms", "summary"),
    "schema_id",
)
_SAME_OF_MANIFEST = (
    *("partition_spec_id", "content", "sequence_number", "min_sequence_number"),
    *("added_snapshot_id", "added_files_count", "existing_files_count", "deleted_files_count"),
    *("added_rows_count", "existing_rows_count", "deleted_rows_count", "partitions"),
)


def check_moved(store: Store, before: Url, after: Url, move: Mover) -> dict[str, int]:
    """Compare the metadata of a table with its moved copy: schema, snapshots, tags, files, rows.

    Args:
        store: where the files are.
        before: the metadata file as it was, where it lies now.
        after: its moved copy.
        move: the new place of a location.

    Returns:
        Location and size of every file that the copy refers to and whose size it knows: manifests,
        statistics, and the data files of all snapshots.

    Raises:
        BalanceError: the copy says something else.
    """
    old, new = (FromInputFile.table_metadata(StoreFile(store, str(url))) for url in (before, after))
    name = f"the moved copy {after} of {before}"
    _compare(old, new, _SAME, name)
    if len(old.snapshots) != len(new.snapshots):
        raise BalanceError(f"{name} has {len(new.snapshots)} of {len(old.snapshots)} snapshots")
    found = dict(_statistics(new))
    place, checked = _MovedIO(store, move), set[str]()
    for was, now in zip(old.snapshots, new.snapshots, strict=True):
        title = f"snapshot {was.snapshot_id} of {name}"
        _compare(was, now, _SAME_OF_SNAPSHOT, title)
        lists = was.manifests(place), now.manifests(_MovedIO(store, str))
        if len(lists[0]) != len(lists[1]):
            raise BalanceError(f"{title} has {len(lists[1])} of {len(lists[0])} manifests")
        for one, other in zip(*lists, strict=True):
            _compare(one, other, _SAME_OF_MANIFEST, title)
            if other.manifest_path not in checked:
                checked.add(other.manifest_path)
                found |= _compared_files(store, one, other, move)
    return found


def _compare(old: object, new: object, names: tuple[str, ...], title: str) -> None:
    for name in names:
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            raise BalanceError(f"{title} has another {name}: {now!r} instead of {was!r}")


def _compared_files(
    store: Store, old: ManifestFile, new: ManifestFile, move: Mover
) -> Iterator[tuple[str, int]]:
    before = old.fetch_manifest_entry(_MovedIO(store, move), discard_deleted=False)
    after = new.fetch_manifest_entry(_MovedIO(store, str), discard_deleted=False)
    yield new.manifest_path, new.manifest_length
    if len(before) != len(after):
        raise BalanceError(f"{new.manifest_path} has {len(after)} of {len(before)} files")
    for was, now in zip(before, after, strict=True):
        ours = (was.status, was.snapshot_id, was.sequence_number, was.file_sequence_number)
        theirs = (now.status, now.snapshot_id, now.sequence_number, now.file_sequence_number)
        wanted = [move(was.data_file.file_path), *_values(was.data_file)]
        if ours != theirs or wanted != [now.data_file.file_path, *_values(now.data_file)]:
            raise BalanceError(f"{new.manifest_path} says something else of {wanted[0]}")
        if now.status is not ManifestEntryStatus.DELETED:
            yield now.data_file.file_path, now.data_file.file_size_in_bytes


def _values(file: DataFile) -> Iterator[Any]:
    """All that a manifest says of a file, apart from its location."""
    yield file.spec_id
    for place in range(len(file)):
        value = file[place]
        if value is not file.file_path:
            yield dict(value) if hasattr(value, "items") else value


def _statistics(metadata: TableMetadata) -> Iterator[tuple[str, int]]:
    for each in (*metadata.statistics, *metadata.partition_statistics):
        yield each.statistics_path, each.file_size_in_bytes


class _MovedIO(FileIO):
    """Reads files where they have been moved to."""

    def __init__(self, store: Store, move: Mover) -> None:
        super().__init__()
        self._store = store
        self._move = move

    def new_input(self, location: str) -> InputFile:
        return StoreFile(self._store, self._move(location))

    def new_output(self, location: str) -> OutputFile:
        raise NotImplementedError(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise NotImplementedError(location)
