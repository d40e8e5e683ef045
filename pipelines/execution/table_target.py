"""Where a table's files are written, as a value that travels to the workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from strata.pipelines.execution.stage import StageContext
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, WrittenFile
from strata.storage.writing.partitioned_writer import table_writer
from strata.storage.writing.tiers import tier_of_table

__all__ = ["TableTarget", "WrittenRows"]


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """The files that one call wrote."""

    files: list[WrittenFile]
    bytes_written: int


@dataclass(frozen=True, slots=True)
class TableTarget:
    """A table's folder in its tier."""

    table: str
    storage: StorageOptions
    folder: Url
    layout: ParquetLayout

    @classmethod
    def of(cls, context: StageContext, table: str) -> TableTarget:
        """The target of a table according to the settings."""
        tier = tier_of_table(context.settings, table)
        folder = tier.folder(context.settings.corpus, table)
        return cls(table, context.storage_options, folder, tier.layout)

    def write(self, batches: Iterable[pa.RecordBatch], stem: str) -> WrittenRows:
        """Write rows; columns may be in any order, and additional ones are ignored."""
        store, schema = MeteredStore(open_store(self.storage)), SCHEMAS[self.table]
        with table_writer(store, self.folder, self.table, self.layout, stem) as writer:
            for batch in batches:
                if batch.num_rows:
                    columns = [batch.column(name) for name in schema.names]
                    writer.write(pa.RecordBatch.from_arrays(columns, schema=schema))
            files = writer.close()
        return WrittenRows(files, store.meter.bytes_written)
