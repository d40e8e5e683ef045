"""Applying the table `cuts`: the survivors' texts without passages that repeat earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.tables.removals import DocumentRows, rows_between
from strata.storage.contracts.store import Store

__all__ = ["TextCutter"]


class TextCutter:
    """Cuts passages out of documents, one range of document ids at a time, and counts them."""

    def __init__(self, cuts: Sequence[DataFile], store: Store) -> None:
        self._cuts = cuts
        self._store = store
        self.emptied = 0
        self.bytes_cut = 0

    def cut(
        self, batches: Iterator[pa.RecordBatch], low: int, high: int
    ) -> Iterator[pa.RecordBatch]:
        """Batches of `documents` with the cuts applied to their texts.

        Documents that have no word left after their cuts are dropped. ``n_bytes`` and
        ``content_hash`` are those of the new text.

        Args:
            batches: documents, with all columns.
            low: smallest id among them.
            high: largest id among them.

        Raises:
            BalanceError: a cut does not fit its text.
        """
        if not self._cuts:
            yield from batches
            return
        rows = rows_between(self._cuts, ["start", "end"], low, high, self._store)
        for batch in batches:
            left = self._cut(batch, rows)
            if left.num_rows:
                yield left

    def _cut(self, batch: pa.RecordBatch, rows: DocumentRows) -> pa.RecordBatch:
        numbers, bounds = rows.of(batch.column("doc_id").to_numpy())
        if not len(numbers):
            return batch
        # Only documents with cuts need numba.
        from strata.pipelines.kernels.content_hash import content_hash
        from strata.pipelines.kernels.cutting import cut_texts

        starts, ends = (rows.columns[name][numbers] for name in ("start", "end"))
        left = cut_texts(batch.column("text"), bounds, starts, ends)
        sizes = np.diff(np.frombuffer(left.text.buffers()[1], np.int64))
        self.bytes_cut += int(batch.column("n_bytes").to_numpy().sum() - sizes.sum())
        changed = {
            "text": left.text,
            "n_bytes": pa.array(sizes),
            "content_hash": content_hash(left.text),
        }
        columns = [changed.get(name, batch.column(name)) for name in batch.schema.names]
        keep = left.has_words | (np.diff(bounds) == 0)
        self.emptied += int(len(keep) - keep.sum())
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema).filter(pa.array(keep))
