"""Reading the survivors: documents that no table removes, with their cuts applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.data_files import DataFile, RemovedBy, RowGroups
from strata.pipelines.tables.cuts import TextCutter
from strata.pipelines.tables.removals import removed_ids
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches

__all__ = ["SurvivorCounts", "SurvivorFiles", "cut_survivors", "survivors"]

# The engine needs several times the memory of a batch while it encodes; larger ones are no faster.
BATCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class SurvivorFiles:
    """Everything that the survivors are read from.

    Attributes:
        parts: row groups of `documents`, by task.
        ledger: the files that say which documents are removed.
        cuts: the files that say what is cut from the others.
    """

    parts: tuple[tuple[RowGroups, ...], ...]
    ledger: tuple[DataFile, ...]
    cuts: tuple[DataFile, ...]


@dataclass(slots=True)
class SurvivorCounts:
    """How many documents were read, and what became of them.

    Attributes:
        rows_in: documents read.
        removed: duplicates among them.
        contaminated: those among the others that contain a benchmark item.
        emptied: survivors without a word left after the cuts.
        bytes_cut: bytes cut from the texts of survivors.
    """

    rows_in: int = 0
    removed: int = 0
    contaminated: int = 0
    emptied: int = 0
    bytes_cut: int = 0


def cut_survivors(
    parts: tuple[RowGroups, ...],
    ledger: tuple[DataFile, ...],
    cuts: tuple[DataFile, ...],
    store: Store,
    counts: SurvivorCounts,
    only: np.ndarray | None = None,
) -> Iterator[pa.RecordBatch]:
    """The documents that `survivors` yields, with their cuts applied."""
    cutter = TextCutter(cuts, store)
    for part in parts:
        low, high = part.file.min_doc_id, part.file.max_doc_id
        yield from cutter.cut(survivors((part,), ledger, store, counts, only), low, high)
    counts.emptied, counts.bytes_cut = cutter.emptied, cutter.bytes_cut


def survivors(
    parts: tuple[RowGroups, ...],
    ledger: tuple[DataFile, ...],
    store: Store,
    counts: SurvivorCounts,
    only: np.ndarray | None = None,
    columns: Sequence[str] = SCHEMAS["documents"].names,
) -> Iterator[pa.RecordBatch]:
    """The documents of some row groups that no table removes, counted in ``counts``.

    Where ``only`` is given, int64[n], all other documents are ignored.
    """
    duplicates = [file for file in ledger if file.reason is not RemovedBy.CONTAINED]
    contained = [file for file in ledger if file.reason is RemovedBy.CONTAINED]
    for part in parts:
        low, high = part.file.min_doc_id, part.file.max_doc_id
        removed = removed_ids(duplicates, low, high, store)
        contaminated = removed_ids(contained, low, high, store)
        url = Url.parse(part.file.url)
        for batch in read_batches(store, url, columns, part.groups, BATCH_BYTES):
            doc_ids = batch.column("doc_id").to_numpy()
            asked = np.ones(len(doc_ids), bool) if only is None else np.isin(doc_ids, only)
            original = asked & ~np.isin(doc_ids, removed)
            keep = original & ~np.isin(doc_ids, contaminated)
            counts.rows_in += int(asked.sum())
            counts.removed += int(asked.sum() - original.sum())
            counts.contaminated += int(original.sum() - keep.sum())
            if keep.all():
                yield batch
            elif keep.any():
                yield batch.filter(pa.array(keep))
