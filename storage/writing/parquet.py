"""Writing the tables' Parquet files, and reading Parquet in batches of bounded size."""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from strata.errors import StrataError
from strata.partition_settings import PartitionField
from strata.settings import TierSettings
from strata.storage.checksums.file_digest import DIGEST_KEY, NO_DIGEST, DigestedOutput
from strata.storage.checksums.rows import CHECKSUM_KEY, RowsChecksum
from strata.storage.contracts.close_or_discard import CloseOrDiscard
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import file_name
from strata.storage.layout.partitioning import UNPARTITIONED, Partition
from strata.storage.layout.properties import VERSION_KEY
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.writing.level_chooser import chooser_of
from strata.storage.writing.level_probe import LevelProbe
from strata.version import VERSION

if TYPE_CHECKING:
    pass

__all__ = [
    "CODEC_KEY",
    "LEVEL_KEY",
    "ParquetLayout",
    "RowWriter",
    "TableWriter",
    "WrittenFile",
    "pieces",
    "read_batches",
]

CODEC_KEY = "strata.codec"
LEVEL_KEY = "strata.level"

_MB = 1_000_000
# Few distinct values per row group; other columns would only build dictionaries and drop them.
_DICTIONARY = frozenset(
    {"source", "lang", "method", "status", "format", "reason", "kept", "grain", "other_corpus"}
)
# Min and max of long values take footer space and prune nothing.
_NO_STATISTICS = frozenset(
    {"text", "metadata", "signature", "content_hash", "excerpt", "sample", "tokens.list.element"}
)
_SORTED_NUMBERS = frozenset({"doc_id", "kept_id", "a", "b"})


@dataclass(frozen=True, slots=True)
class ParquetLayout:
    """How the files of a table are laid out in a tier.

    Attributes:
        codec: zstd, gzip, brotli, lz4, snappy or none.
        level: compression level; None means the codec's default.
        row_group_bytes: uncompressed bytes after which a row group ends.
        target_file_bytes: bytes on disk after which a file ends.
        partition_by: fields by which rows go to different files.
        open_files: number of files that a writer with several partitions has open at once.
        pending_bytes: bytes of rows that such a writer gathers before it writes some of them.
        level_range: smallest and largest level if each file takes the fastest; then ``level`` is
            that of the first.
    """

    codec: str
    level: int | None
    row_group_bytes: int
    target_file_bytes: int
    partition_by: tuple[PartitionField, ...] = ()
    open_files: int = 16
    pending_bytes: int = 64 * _MB
    level_range: tuple[int, int] | None = None

    @classmethod
    def of(cls, tier: TierSettings, target_file_mb: float) -> ParquetLayout:
        """The layout of a tier; ``target_file_mb`` applies where the tier sets none."""
        return cls(
            codec=tier.codec,
            level=tier.level,
            row_group_bytes=max(1, round(tier.row_group_mb * _MB)),
            target_file_bytes=max(1, round((tier.target_file_mb or target_file_mb) * _MB)),
            level_range=tier.level_range,
        )

    def at(self, level: int | None) -> ParquetLayout:
        """The layout of one file, with a fixed level."""
        return replace(self, level=level, level_range=None)

    def holds(self, codec: str, level: int | None) -> bool:
        """Whether a file of this codec and level conforms to the layout."""
        if self.level_range is None:
            return (codec, level) == (self.codec, self.level)
        low, high = self.level_range
        return codec == self.codec and level is not None and low <= level <= high

    @property
    def unpartitioned(self) -> ParquetLayout:
        """The same without partitions."""
        return replace(self, partition_by=())

    @property
    def tag(self) -> str:
        """Codec and level as a part of file names, which manifests store: ``zstd-3``."""
        if self.level_range is not None:
            return f"{self.codec}-{self.level_range[0]}..{self.level_range[1]}"
        return self.codec if self.level is None else f"{self.codec}-{self.level}"

    @property
    def group_bytes(self) -> int:
        """Bytes of a row group: never more than a file may have, or files could not end in time."""
        return min(self.row_group_bytes, self.target_file_bytes)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished data file that no table refers to yet; small enough to send to the driver.

    Attributes:
        table: the table whose schema it has.
        url: where it is.
        rows: number of rows.
        n_bytes: size on disk.
        footer: the pickled ``pyarrow.parquet.FileMetaData``, compressed: the driver holds one for
            each file that a stage writes.
        partition: the values that its rows share.
    """

    table: str
    url: str
    rows: int
    n_bytes: int
    footer: bytes
    partition: Partition = UNPARTITIONED

    @property
    def metadata(self) -> pq.FileMetaData:
        """The Parquet footer."""
        return pickle.loads(zstandard.decompress(self.footer))


class RowWriter(CloseOrDiscard, ABC):
    """Writes rows of one table; what it has written is deleted when its block fails."""

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows.

        Raises:
            ValueError: columns or types are not those of the table.
        """

    @abstractmethod
    def roll(self) -> None:
        """End the current file; the next row starts another."""

    @abstractmethod
    def close(self) -> list[WrittenFile]:
        """End the last file, and return all that were written; without rows there is none."""

    @abstractmethod
    def discard(self) -> None:
        """Delete everything written so far, as far as the store permits."""


class TableWriter(RowWriter):
    """Writes batches of one table and one partition into Parquet files of about equal size.

    Every footer holds the checksum of the file's rows and the digest of its bytes. A file that is
    never published is an orphan, which garbage collection removes.

    Args:
        store: where to write.
        folder: folder of the files.
        table: name of the table, a key of ``SCHEMAS``.
        layout: codec and sizes.
        stem: first part of every file name, such as run and task.
        created_ms: since when the rows have been in the corpus, milliseconds since 1970; now unless
            given.
        partition: the values that all rows share.
    """

    def __init__(
        self,
        store: Store,
        folder: Url,
        table: str,
        layout: ParquetLayout,
        stem: str,
        created_ms: int | None = None,
        partition: Partition = UNPARTITIONED,
    ) -> None:
        self._store = store
        self._folder = partition.below(folder)
        self._partition = partition
        self._table = table
        self._schema = SCHEMAS[table]
        self._layout = layout
        self._stem = stem
        self._created_ms = created_ms
        self._done: list[WrittenFile] = []
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._url = folder
        self._output: DigestedOutput | None = None
        self._checksum = RowsChecksum()
        self._parquet: pq.ParquetWriter | None = None
        chooser = chooser_of(folder, layout.level_range, layout.level)
        # Not a method: an abandoned writer must be freed at once, with what it has open.
        self._level = LevelProbe(chooser, partial(_bytes_at, self._schema, layout))

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows.

        Raises:
            ValueError: columns or types are not those of the table.
        """
        if batch.schema.names != self._schema.names or batch.schema.types != self._schema.types:
            raise ValueError(f"a batch for {self._table} has the wrong columns: {batch.schema}")
        typed = pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)
        for piece in pieces(typed, self._layout.group_bytes):
            self._pending.append(piece)
            self._pending_bytes += piece.nbytes
            if self._pending_bytes >= self._layout.group_bytes:
                self.end_row_group()

    @property
    def is_open(self) -> bool:
        """Whether a file is open."""
        return self._parquet is not None

    def roll(self) -> None:
        """End the current file; the next row starts another."""
        self.end_row_group()
        if self._parquet is None or self._output is None:
            return
        self._parquet.add_key_value_metadata(
            {CHECKSUM_KEY: self._checksum.to_text(), DIGEST_KEY: NO_DIGEST}
        )
        with self._level.timed():
            self._output.hold()
            self._parquet.close()
            self._output.seal()
            footer: pq.FileMetaData = self._parquet.writer.metadata
            size = self._output.tell()
            self._output.close()
        self._level.end(size)
        self._done.append(
            WrittenFile(
                self._table,
                str(self._url),
                footer.num_rows,
                size,
                zstandard.compress(pickle.dumps(footer)),
                self._partition,
            )
        )
        self._parquet = self._output = None

    def close(self) -> list[WrittenFile]:
        """End the last file, and return all that were written; without rows there is none."""
        self.roll()
        return list(self._done)

    def discard(self) -> None:
        """Delete everything written so far."""
        self._pending, self._pending_bytes = [], 0
        if self._parquet is not None:
            # Its finalizer would write a footer into the discarded file.
            self._parquet.is_open = False
        if self._output is not None:
            self._output.discard()
        self._parquet = self._output = None
        # The reason for discarding is more important; gc removes what cannot be deleted now.
        with suppress(StrataError):
            while self._done:
                self._store.delete(Url.parse(self._done.pop().url))

    def end_row_group(self) -> None:
        """Write what is pending; the next row starts another row group."""
        if not self._pending:
            return
        if self._parquet is None or self._output is None:
            stem = f"{self._stem}-{len(self._done)}"
            layout = self._layout.at(self._level.of_next_file or self._layout.level)
            self._url = self._folder / file_name(stem, layout.tag, self._created_ms)
            self._output = DigestedOutput(self._level.begin(self._store.create(self._url)))
            self._checksum = RowsChecksum()
            self._parquet = _parquet_writer(self._output, self._schema, layout)
        before = self._output.tell()
        rows = pa.Table.from_batches(self._pending)
        self._pending, self._pending_bytes = [], 0
        self._checksum += RowsChecksum.of(rows)
        with self._level.timed(rows):
            self._parquet.write_table(rows, row_group_size=rows.num_rows)
        # A file ends up to half a row group early as often as late, so sizes average to the target.
        after = self._output.tell()
        if after + (after - before) // 2 >= self._layout.target_file_bytes:
            self.roll()


def _bytes_at(schema: pa.Schema, layout: ParquetLayout, rows: pa.Table, level: int) -> int:
    """Bytes of some rows at a level."""
    with io.BytesIO() as output:
        with _parquet_writer(output, schema, layout.at(level)) as writer:
            writer.write_table(rows, row_group_size=rows.num_rows)
        return output.tell()


def _parquet_writer(
    output: DigestedOutput | io.BytesIO, schema: pa.Schema, layout: ParquetLayout
) -> pq.ParquetWriter:
    leaves = [path for field in schema for path in _leaves(field)]
    writer = pq.ParquetWriter(
        output,
        schema,
        compression=layout.codec,
        compression_level=layout.level,
        use_dictionary=[name for name in leaves if name in _DICTIONARY],
        write_statistics=[name for name in leaves if name not in _NO_STATISTICS],
        column_encoding={n: "DELTA_BINARY_PACKED" for n in leaves if n in _SORTED_NUMBERS},
        write_page_checksum=True,
    )
    level = "" if layout.level is None else str(layout.level)
    writer.add_key_value_metadata({VERSION_KEY: VERSION, CODEC_KEY: layout.codec, LEVEL_KEY: level})
    return writer


def _leaves(field: pa.Field) -> Iterator[str]:
    yield f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def pieces(batch: pa.RecordBatch, limit: int) -> Iterator[pa.RecordBatch]:
    """Halve a batch until each part has at most ``limit`` bytes or one row."""
    if batch.nbytes <= limit or batch.num_rows <= 1:
        if batch.num_rows:
            yield batch
        return
    half = batch.num_rows // 2
    yield from pieces(batch.slice(0, half), limit)
    yield from pieces(batch.slice(half), limit)
