"""Publishing: files that tasks have written become the state of a table, in one atomic snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from strata.errors import ConflictError, TransientError
from strata.storage.history import CONTENT_KEY, RUN_ID, live_files, properties_of
from strata.storage.parquet import WrittenFile

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

    from strata.storage.catalog import CorpusTable

__all__ = ["PublishMode", "catalog_errors", "data_file", "publish"]


class PublishMode(StrEnum):
    """What becomes of the rows that a table has."""

    APPEND = "append"
    OVERWRITE = "overwrite"


def publish(
    table: CorpusTable,
    files: Sequence[WrittenFile],
    *,
    mode: PublishMode,
    content_key: str,
    run_id: str,
    extra: Mapping[str, str] | None = None,
) -> int | None:
    """Make files part of a table; a result that is published already is left as it is.

    Args:
        table: the table.
        files: the files; none still makes a snapshot, which carries the key.
        mode: APPEND keeps the present rows, OVERWRITE drops them in the same snapshot.
        content_key: key of the result.
        run_id: the run that made it.
        extra: further properties of the snapshot.

    Returns:
        The snapshot's id, or None where the table already holds the result.

    Raises:
        ConflictError: another writer changed the table all the while.
        TransientError: the catalog did not answer.
    """
    properties = {**(extra or {}), CONTENT_KEY: content_key, RUN_ID: run_id}
    with catalog_errors(table.name):
        iceberg = table.iceberg()
        if table.content_key == content_key:
            return None
        added = [data_file(file, iceberg.metadata) for file in files]
        if mode is PublishMode.APPEND:
            _append(iceberg, added, properties)
        else:
            _overwrite(iceberg, added, properties)
        snapshot = iceberg.current_snapshot()
    return snapshot.snapshot_id if snapshot else None


def data_file(file: WrittenFile, metadata: TableMetadata) -> DataFile:
    """Iceberg's description of a file, from the footer that its writer sent along."""
    from pyiceberg.io.pyarrow import (
        compute_statistics_plan,
        data_file_statistics_from_parquet_metadata,
        parquet_path_to_id_mapping,
    )
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    schema = metadata.schema()
    statistics = data_file_statistics_from_parquet_metadata(
        file.metadata,
        compute_statistics_plan(schema, metadata.properties),
        parquet_path_to_id_mapping(schema),
    )
    described = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.url,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        file_size_in_bytes=file.n_bytes,
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )
    # from_args drops it.
    described.spec_id = metadata.default_spec_id
    return described


def carried_properties(table: Table) -> dict[str, str]:
    """Strata's properties of the present snapshot, for one that holds the same rows."""
    snapshot = table.current_snapshot()
    found = properties_of(snapshot) if snapshot else {}
    return {name: value for name, value in found.items() if name.startswith("strata.")}


def _append(table: Table, files: Sequence[DataFile], properties: dict[str, str]) -> None:
    with (
        table.transaction() as transaction,
        transaction.update_snapshot(snapshot_properties=properties).fast_append() as snapshot,
    ):
        for file in files:
            snapshot.append_data_file(file)


def _overwrite(table: Table, files: Sequence[DataFile], properties: dict[str, str]) -> None:
    old = live_files(table.metadata, table.io)
    with (
        table.transaction() as transaction,
        transaction.update_snapshot(snapshot_properties=properties).overwrite() as snapshot,
    ):
        for file in old:
            snapshot.delete_data_file(file)
        for file in files:
            snapshot.append_data_file(file)


@contextmanager
def catalog_errors(name: str) -> Iterator[None]:
    """Run a block whose catalog errors become errors of Strata that name the table or corpus."""
    from pyiceberg.exceptions import CommitFailedException, ValidationException
    from sqlalchemy.exc import DBAPIError, OperationalError

    try:
        yield
    except (CommitFailedException, ValidationException) as error:
        raise ConflictError(
            f"{name}: another writer changed the table at the same time: {error}",
            hint="run the same command again, one at a time for a corpus",
        ) from error
    except OperationalError as error:
        raise TransientError(
            f"{name}: the catalog did not answer: {error.orig}",
            hint="run the same command again; another process may hold the catalog",
        ) from error
    except DBAPIError as error:
        raise ConflictError(
            f"{name}: the catalog refused: {error.orig}", hint="check [catalog] in the settings"
        ) from error
