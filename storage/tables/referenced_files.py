"""Which files the tables of a catalog still refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from strata.storage.contracts.url import Url
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.places import TableFileInfo, is_inside, metadata_number

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table

__all__ = ["names_of_newer_metadata", "referenced_names"]


def referenced_names(corpus: Corpus) -> set[str]:
    """Names of all files that any retained snapshot of any table of the catalog refers to.

    Names, not URLs: each name has a UUID, while other engines spell the URL of the same file
    differently (``s3a://``, ``file:/``).

    Raises:
        ConflictError: a table vanished meanwhile.
        InputMissingError: metadata of a table is missing, so references cannot be determined.
    """
    manifests: set[str] = set()
    return {
        Url.parse(path).name
        for table in corpus.iceberg_tables()
        for path in _paths(table, manifests)
    }


def names_of_newer_metadata(corpus: Corpus, listed: Iterable[TableFileInfo]) -> set[str]:
    """Names of all files that metadata refers to which is newer than that of the catalog.

    A commit that did not get through leaves it, until the next one; and so does a catalog that was
    restored from a backup, whose tables had come further.

    Args:
        corpus: the corpus.
        listed: the files of its tables; of other tables than the catalog has, nothing is newer.

    Raises:
        InputMissingError: a file that it refers to is missing, so it cannot be read.
    """
    from pyiceberg.table import StaticTable

    manifests: set[str] = set()
    found: set[str] = set()
    current = {name: corpus.table(name).existing() for name in corpus.existing_tables()}
    for each in listed:
        table, number = current.get(each.table), metadata_number(each.file.url.name)
        if table is None or number is None or each.kind != "metadata":
            continue
        if number > (metadata_number(table.metadata_location) or 0):
            newer = StaticTable.from_metadata(str(each.file.url), table.io.properties)
            if not is_inside(newer.location(), corpus.warehouse):
                # Left by a relocation that was given up, or by a run before one.
                continue
            found |= {Url.parse(path).name for path in _paths(newer, manifests)}
    return found


def _paths(table: Table, manifests: set[str]) -> Iterator[str]:
    metadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (file.statistics_path for file in metadata.statistics)
    yield from (file.statistics_path for file in metadata.partition_statistics)
    for snapshot in metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            # Each manifest is read once: snapshots share most of them.
            if manifest.manifest_path not in manifests:
                manifests.add(manifest.manifest_path)
                yield manifest.manifest_path
                yield from _data_paths(table, manifest)


def _data_paths(table: Table, manifest: ManifestFile) -> Iterator[str]:
    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
        yield entry.data_file.file_path
