"""Rows of tables as tests compare them: of data files, of an export, or by PyIceberg."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pyiceberg.expressions import AlwaysTrue

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.export.rows import export_batches
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.tables.table import CorpusTable
from strata.storage.writing.parquet import WrittenFile

Row = dict[str, Any]

_BATCH_BYTES = 1_000_000


def rows_of(context: StageContext, table: str, columns: Sequence[str] = ()) -> list[Row]:
    """The rows in the data files of a table, ordered by its first two columns if these are read."""
    keys = [name for name in SCHEMAS[table].names[:2] if not columns or name in columns]
    rows = rows_in_file_order(context, table, columns)
    return sorted(rows, key=lambda row: tuple(row[name] for name in keys))


def rows_in_file_order(context: StageContext, table: str, columns: Sequence[str] = ()) -> list[Row]:
    """The rows in the data files of a table, as these follow one another."""
    return [row for _, rows in rows_by_file(context, table, columns) for row in rows]


def rows_by_file(
    context: StageContext, table: str, columns: Sequence[str] = ()
) -> list[tuple[TableFile, list[Row]]]:
    """The data files of a table, each with its rows in their order."""
    names = columns or SCHEMAS[table].names
    return [
        (file, _rows_of_file(context.store, file.location, names))
        for file in context.corpus.table(table).files()
    ]


def rows_of_files(store: Store, files: Iterable[WrittenFile], table: str) -> list[Row]:
    """The rows in those of a task's files that belong to the table, in the order of the files."""
    return [
        row
        for file in files
        if file.table == table
        for row in _rows_of_file(store, Url.parse(file.url), SCHEMAS[table].names)
    ]


def ids_in_files(store: Store, urls: Iterable[Url]) -> list[int]:
    """The sorted document ids in data files."""
    return sorted(row["doc_id"] for url in urls for row in _rows_of_file(store, url, ["doc_id"]))


def exported(context: StageContext, table: str) -> list[Row]:
    """The rows that an export of the table has, in its order."""
    batches = export_batches(context.corpus, context.store, table)
    return [row for batch in batches for row in batch.to_pylist()]


def ids_by_pyiceberg(
    table: CorpusTable, snapshot_id: int | None = None, where: str = ""
) -> list[int]:
    """The sorted document ids that PyIceberg itself finds in a table: a reader from outside."""
    scan = table.iceberg().scan(where or AlwaysTrue(), snapshot_id=snapshot_id)
    return sorted(scan.to_arrow()["doc_id"].to_pylist())


def _rows_of_file(store: Store, url: Url, columns: Sequence[str]) -> list[Row]:
    batches = read_batches(store, url, columns, None, _BATCH_BYTES)
    return [row for batch in batches for row in batch.to_pylist()]
