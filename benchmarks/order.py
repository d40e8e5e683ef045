"""What the order of rows, the level and the size of row groups make of the bytes on disk."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from benchmarks.corpus import Corpus
from benchmarks.processes import run_command
from strata.layers import load_settings
from strata.pipelines.execution.data_files import data_files
from strata.pipelines.maintenance.row_order import row_places
from strata.settings import RowOrder
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.tables.catalog import Corpus as Tables
from strata.storage.tables.catalog import open_corpus
from strata.storage.writing.parquet import ParquetLayout, TableWriter

__all__ = ["OrderFigure", "measure_orders"]

SETTINGS = """
corpus = "bench"
warehouse = "{folder}/wh"
[[inputs]]
path = "{corpus}/*.jsonl.zst"
"""
LEVELS = (3, 9, 15)
ROW_GROUP_MB = (8, 32, 128)
TABLES = ("documents", "clean")
BATCH_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class OrderFigure:
    """One way to write a table; ``share`` is the size against that of ``doc_id`` otherwise alike.

    Attributes:
        table: name of the table.
        order: order of its rows.
        level: zstd level.
        row_group_mb: uncompressed size of a row group.
        megabytes: size on disk.
        share: megabytes by those of the order by ``doc_id``.
        sort_seconds: to sort the rows.
        write_seconds: to write them.
    """

    table: str
    order: str
    level: int
    row_group_mb: int
    megabytes: float
    share: float
    sort_seconds: float
    write_seconds: float


def measure_orders(corpus: Corpus, folder: Path) -> Iterator[OrderFigure]:
    """Sort and write the documents of a corpus, and its survivors, in every way."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "settings.toml"
    file.write_text(SETTINGS.format(folder=folder, corpus=corpus.folder))
    for command in ("shard", "dedup", "tokenize"):
        run_command([sys.executable, "-m", "strata.jobs.console", command, str(file), "-q"])
    with open_corpus(load_settings(file, []).settings) as tables:
        for name in TABLES:
            yield from _orders_of(name, tables, folder / "out")


def _orders_of(name: str, tables: Tables, out: Path) -> Iterator[OrderFigure]:
    ledger = data_files(tables.table("clusters").files())
    columns = SCHEMAS[name].names
    batches = [
        batch
        for file in tables.table(name).files()
        for batch in read_batches(tables.store, file.location, columns, None, 32_000_000)
    ]
    rows = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    base: dict[tuple[int, int], float] = {}
    for order in RowOrder:
        began = time.monotonic()
        sorted_rows = rows.take(pa.array(row_places(rows, order, ledger, tables.store)))
        seconds = time.monotonic() - began
        for level in LEVELS:
            for row_group_mb in ROW_GROUP_MB if level == LEVELS[0] else (ROW_GROUP_MB[1],):
                began = time.monotonic()
                size = _written(name, sorted_rows, tables, out, level, row_group_mb)
                took = time.monotonic() - began
                first = base.setdefault((level, row_group_mb), size)
                share = size / first
                figure = (name, str(order), level, row_group_mb, size, share, seconds, took)
                yield OrderFigure(*figure)


def _written(
    name: str, rows: pa.RecordBatch, tables: Tables, out: Path, level: int, row_group_mb: int
) -> float:
    layout = ParquetLayout("zstd", level, row_group_mb * 1_000_000, 1 << 40)
    writer = TableWriter(tables.store, Url.parse(out), name, layout, "order")
    for start in range(0, rows.num_rows, BATCH_ROWS):
        writer.write(rows.slice(start, BATCH_ROWS))
    size = sum(file.n_bytes for file in writer.close())
    writer.discard()
    return size / 1e6
