"""A Parquet file of the staging folder, which is there once it has a row."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from strata.storage.store import Output, Store
from strata.storage.url import Url

__all__ = ["StagedFile"]


class StagedFile:
    """Takes tables one after the other; as a context it discards the file where work fails.

    Args:
        store: where it is written.
        url: its place, if it comes to be.
        schema: that of all tables.
    """

    def __init__(self, store: Store, url: Url, schema: pa.Schema) -> None:
        self._store = store
        self._url = url
        self._schema = schema
        self._output: Output | None = None
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    @property
    def url(self) -> str | None:
        """Where it is; None without a row."""
        return str(self._url) if self.rows else None

    def write(self, table: pa.Table) -> None:
        """Append rows, as a row group of their own."""
        if not table.num_rows:
            return
        if self._writer is None:
            self._output = self._store.create(self._url)
            self._writer = pq.ParquetWriter(
                self._output, self._schema, compression="zstd", compression_level=1
            )
        self._writer.write_table(table)
        self.rows += table.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is None or self._output is None:
            return
        if kind is not None:
            self._output.discard()
            return
        self._writer.close()
        self._output.close()
