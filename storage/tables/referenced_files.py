"""Which files the tables of a catalog still refer to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from strata.storage.contracts.url import Url
from strata.storage.tables.catalog import Corpus

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table

__all__ = ["referenced_names"]


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
