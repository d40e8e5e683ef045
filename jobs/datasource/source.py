"""The Spark data source ``strata``: one table of a corpus, from all tiers that have its files.

Spark runs the three parts in separate Python processes: the source at ``load()`` and the plan at
the first query, on the driver; the reading in tasks. What they pass to each other is pickled.

Filters of queries are not pushed down (``pushFilters``): Spark 4.3 reuses the plan of a query with
a filter for all other queries of the same DataFrame, which then lack rows. The option ``where``
applies to the DataFrame as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import StructType

from strata.errors import SettingsError
from strata.jobs.datasource.options import SourceOptions
from strata.jobs.runner.read_log import log_driver_reads
from strata.storage.contracts.options import StorageOptions
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.read_plan import ReadPart, pack, read_part
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import FileReads, IoMeter

__all__ = ["FORMAT", "StrataSource"]

FORMAT = "strata"
# So that small tables use all cores too.
PARTS_PER_CORE = 2
MIN_PART_BYTES = 4 << 20


class StrataSource(DataSource):
    """``spark.read.format("strata")``; see :class:`SourceOptions` for its options."""

    _snapshot: int | None = None
    _is_pinned = False

    @classmethod
    def name(cls) -> str:
        """The name of the format."""
        return FORMAT

    def schema(self) -> StructType:
        """The requested columns; from here on the snapshot is fixed.

        Raises:
            SettingsError: an option is wrong, or there is no such snapshot.
        """
        from strata.storage.reading.conditions import parse_condition

        options = SourceOptions.parse(self.options)
        with options.open() as corpus:
            self._snapshot = corpus.table(options.table).snapshot_id(options.snapshot)
        self._is_pinned = True
        table = SCHEMAS[options.table]
        parse_condition(options.where, table)
        return from_arrow_schema(pa.schema([table.field(name) for name in options.columns]))

    def reader(self, schema: StructType) -> DataSourceReader:
        """The reader of one query.

        Raises:
            SettingsError: the caller gave a schema.
        """
        if not self._is_pinned:
            raise SettingsError(
                "a table of Strata has its own schema, and .schema(…) gives another",
                hint='choose columns by .option("columns", "doc_id,text")',
            )
        return StrataReader(SourceOptions.parse(self.options), self._snapshot, schema)


@dataclass
class StrataPart(InputPartition):
    """What one task reads, with everything that it needs to do so.

    Attributes:
        part: files, row groups and columns.
        storage: storage options as JSON, with "env:NAME" where a secret belongs.
    """

    part: ReadPart
    storage: str


class StrataReader(DataSourceReader):
    """Plans a query on the driver, and reads its parts in tasks."""

    def __init__(self, options: SourceOptions, snapshot: int | None, schema: StructType) -> None:
        self._options = options
        self._snapshot = snapshot
        self._schema = schema

    def partitions(self) -> list[InputPartition]:
        """The parts of the snapshot that can have rows that satisfy the condition."""
        from strata.storage.reading.conditions import parse_condition

        if self._snapshot is None:
            return []
        options = self._options
        predicates = parse_condition(options.where, SCHEMAS[options.table])
        with options.open() as corpus:
            files = corpus.table(options.table).files(self._snapshot, predicates)
            # Tasks cannot report what they read, so planned reads count as reads.
            planned = IoMeter(
                files={file.location.name: FileReads(1, file.n_bytes) for file in files}
            )
            log_driver_reads(corpus, FORMAT, planned)
        storage = StorageOptions.of(options.settings()).to_json()
        total = sum(file.n_bytes for file in files)
        even = total // (PARTS_PER_CORE * (os.cpu_count() or 1))
        part_bytes = min(options.part_bytes, max(MIN_PART_BYTES, even))
        return [
            StrataPart(ReadPart(pieces, options.columns, predicates), storage)
            for pieces in pack(files, part_bytes)
        ]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Arrow batches of one part."""
        # Spark reads one part even where the plan has none.
        if not isinstance(partition, StrataPart):
            return
        target = to_arrow_schema(self._schema, timezone="UTC")
        store = open_store(StorageOptions.from_json(partition.storage))
        for batch in read_part(store, partition.part):
            if not batch.num_rows:
                continue
            columns = [
                column.cast(field.type) for column, field in zip(batch.columns, target, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=target)
