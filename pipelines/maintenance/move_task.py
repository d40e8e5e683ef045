"""Moving one data file: copied or recompressed into another tier, read back and compared."""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

import zstandard

from strata.errors import BalanceError, InputError, StrataError
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.tasks import TaskCost, task_stem
from strata.storage.checksums.rows import RowsChecksum, checksum_of
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.integrity.whole_file import checksum_rows
from strata.storage.layout.file_names import file_name, order_of_name, ordered_stem
from strata.storage.layout.records import TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import ParquetScan, open_parquet
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, TableWriter, WrittenFile

__all__ = ["MoveMethod", "MoveResult", "MoveTask", "run_move_task"]

_BLOCK = 8 << 20
_BATCH_BYTES = 16_000_000


class MoveMethod(StrEnum):
    """How the rows of a file get into the other tier."""

    COPY = "copy"
    """Byte by byte: the file already has the tier's codec and level."""
    RECOMPRESS = "recompress"
    """Decoded, and written in the layout of the tier."""


@dataclass(frozen=True, slots=True)
class MoveTask:
    """A data file, and where it goes.

    Attributes:
        table: name of the table.
        file: what the catalog says of the file.
        source: tier that it is in.
        folder: folder of the table in the other tier.
        layout: layout of the other tier.
        stem: first part of the new name.
        storage: storage options.
    """

    table: str
    file: TableFile
    source: str
    folder: Url
    layout: ParquetLayout
    stem: str
    storage: StorageOptions

    @property
    def ordered_stem(self) -> str:
        """The stem, with the order of the rows, which a move does not change."""
        return ordered_stem(self.stem, order_of_name(self.file.location.name))

    @property
    def method(self) -> MoveMethod:
        """Whether the file is copied byte by byte, or has to be recompressed."""
        fits = self.layout.holds(self.file.codec, self.file.level)
        return MoveMethod.COPY if fits else MoveMethod.RECOMPRESS


@dataclass(slots=True)
class MoveResult:
    """What became of a task.

    Attributes:
        task: the task.
        file: the verified new file; None where the old one cannot be read.
        counters: the cost of the task.
        failure: why there is no new file.
    """

    task: MoveTask
    file: WrittenFile | None
    counters: Counters
    failure: InputError | BalanceError | None = None


def run_move_task(task: MoveTask) -> MoveResult:
    """Write the new file and compare it with the old one.

    A damaged old file fails only its own move, and leaves nothing behind.

    Raises:
        MachineError: the other tier cannot be written.
        TransientError: a store did not answer.
    """
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    make = _copy if task.method is MoveMethod.COPY else _recompress
    written, failure = None, None
    try:
        written = make(task, store)
    except (InputError, BalanceError) as error:
        failure = error
    counters = cost.counters(store.meter)
    counters.files_written = int(written is not None)
    # Moving a file does not count as reading it in the access log.
    counters.io.files.clear()
    return MoveResult(task, written, counters, failure)


def _copy(task: MoveTask, store: Store) -> WrittenFile:
    tag = task.layout.at(task.file.level).tag
    name = file_name(task_stem(task.ordered_stem), tag, task.file.created_ms)
    url = task.file.partition.below(task.folder) / name
    with store.open_input(task.file.location) as source, store.create(url) as target:
        while block := source.read(_BLOCK):
            target.write(block)
    try:
        with open_parquet(store, url) as scan:
            rows = _checksum(task, scan)
            footer = scan.metadata
        stored = checksum_of(footer) or _source_checksum(task, store)
        _compare(task, url, rows, stored)
    except (InputError, BalanceError):
        # What cannot be deleted now is cleaned up later; the first error is the one to report.
        with suppress(StrataError):
            store.delete(url)
        raise
    packed = zstandard.compress(pickle.dumps(footer))
    number, size = footer.num_rows, task.file.n_bytes
    return WrittenFile(task.table, str(url), number, size, packed, task.file.partition)


def _recompress(task: MoveTask, store: Store) -> WrittenFile:
    # One file stays one file: sizes are up to compaction.
    layout = replace(task.layout, target_file_bytes=1 << 62)
    with TableWriter(
        store,
        task.folder,
        task.table,
        layout,
        task_stem(task.ordered_stem),
        task.file.created_ms,
        task.file.partition,
    ) as writer:
        with open_parquet(store, task.file.location) as scan:
            stored = checksum_of(scan.metadata)
            groups, columns = range(scan.metadata.num_row_groups), SCHEMAS[task.table].names
            for batch in scan.read(groups, columns, _BATCH_BYTES):
                writer.write(batch)
        files = writer.close()
        _check_rows(task, sum(file.rows for file in files), "were read")
        (written,) = files
        # The writer has already computed the checksum of the rows as they were decoded.
        decoded = checksum_of(written.metadata)
        _compare(task, task.file.location, decoded or RowsChecksum(), stored)
        with open_parquet(store, Url.parse(written.url)) as scan:
            _compare(task, Url.parse(written.url), _checksum(task, scan), decoded)
    return written


def _source_checksum(task: MoveTask, store: Store) -> RowsChecksum:
    with open_parquet(store, task.file.location) as scan:
        return _checksum(task, scan)


def _checksum(task: MoveTask, scan: ParquetScan) -> RowsChecksum:
    return checksum_rows(scan, SCHEMAS[task.table])


def _compare(task: MoveTask, url: Url, rows: RowsChecksum, wanted: RowsChecksum | None) -> None:
    """Make sure that the rows decoded from ``url`` have the checksum ``wanted``, if it is known."""
    _check_rows(task, rows.rows, f"came from {url}")
    if wanted is not None and wanted != rows:
        columns = ", ".join(wanted.differs_in(rows)) or "the order of values"
        raise BalanceError(
            f"the rows in {url} are not those of {task.file.url} any more: {columns} differ",
            hint="run `strata storage verify`; nothing was replaced",
        )


def _check_rows(task: MoveTask, found: int, what: str) -> None:
    if found != task.file.rows:
        raise BalanceError(
            f"{task.file.url} of {task.table} holds {task.file.rows:,} rows, but {found:,} {what}",
            hint="run `strata storage verify`; nothing was replaced",
        )
