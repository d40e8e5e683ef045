"""Which passages repeat an earlier one: groups of equal keys, and the first of each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

__all__ = ["REPEAT_SCHEMA", "RepeatScanner", "repeat_batch", "repeat_matrix"]

REPEAT_SCHEMA = pa.schema(
    [
        pa.field(name, pa.int64(), nullable=False)
        for name in (
            *("doc_id", "place", "start", "stop"),
            *("first_id", "first_place", "first_start"),
        )
    ]
)
"""A repeated passage and the first one with its words; the columns of `joining.RunJoiner`."""

Columns = dict[str, np.ndarray]
COLUMNS = ("key", "check", "doc_id", "place", "start", "stop")


class RepeatScanner:
    """Finds repetitions in rows sorted by (key, doc_id, place), cut into batches anywhere.

    The first row of a key stands for it. A later one repeats it where its check is the same too,
    unless both are in one document and overlap.

    Args:
        reach: places from which on a passage does not overlap an earlier one of its document.
    """

    def __init__(self, reach: int) -> None:
        self._reach = reach
        self._first: Columns | None = None

    def feed(self, rows: Columns) -> np.ndarray:
        """Repetitions among rows, each with its first: int64[m, 7], columns of REPEAT_SCHEMA."""
        if not len(rows["key"]):
            return np.empty((0, len(REPEAT_SCHEMA)), np.int64)
        if self._first is not None:
            rows = {name: np.concatenate([self._first[name], rows[name]]) for name in COLUMNS}
        starts = np.ones(len(rows["key"]), bool)
        starts[1:] = rows["key"][1:] != rows["key"][:-1]
        numbers = np.arange(len(starts))
        first = np.maximum.accumulate(np.where(starts, numbers, 0))
        self._first = {name: rows[name][first[-1:]] for name in COLUMNS}
        later = np.flatnonzero((numbers != first) & (rows["check"] == rows["check"][first]))
        first = first[later]
        apart = rows["place"][later] - rows["place"][first] >= self._reach
        wanted = apart | (rows["doc_id"][later] != rows["doc_id"][first])
        later, first = later[wanted], first[wanted]
        own = [rows[name][later] for name in ("doc_id", "place", "start", "stop")]
        firsts = [rows[name][first] for name in ("doc_id", "place", "start")]
        return np.stack([*own, *firsts], axis=1).astype(np.int64)


def repeat_batch(repeats: np.ndarray) -> pa.RecordBatch:
    """Rows of REPEAT_SCHEMA of int64[m, 7]."""
    columns = [pa.array(np.ascontiguousarray(column)) for column in repeats.T]
    return pa.RecordBatch.from_arrays(columns, schema=REPEAT_SCHEMA)


def repeat_matrix(batch: pa.RecordBatch) -> np.ndarray:
    """int64[m, 7] of rows of REPEAT_SCHEMA."""
    return np.stack([batch.column(name).to_numpy() for name in REPEAT_SCHEMA.names], axis=1)
