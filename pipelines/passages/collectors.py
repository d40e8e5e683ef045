"""What repeated passages are turned into, sorted by document: places of anchors, or cuts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.staging import StagedFile, write_staged
from strata.pipelines.passages.rows import REPEAT_SCHEMA, repeat_batch, repeat_matrix
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.writing.parquet import ParquetLayout, TableWriter, WrittenFile

__all__ = ["AnchorCollector", "CollectedRows", "Collector", "RunCollector", "UnitCollector"]

ANCHOR_SCHEMA = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in ("doc_id", "place")]
)
DOC_ID, START, STOP = (REPEAT_SCHEMA.get_field_index(n) for n in ("doc_id", "start", "stop"))


@dataclass(slots=True)
class CollectedRows:
    """The cuts, or places of anchors, that a collector wrote; bytes are those the cuts cover."""

    anchors: StagedFile | None = None
    cuts: list[WrittenFile] = field(default_factory=list)
    bytes_cut: int = 0
    counters: Counters = field(default_factory=Counters)


class Collector(ABC):
    """Takes what a RepeatScanner finds. Instances are picklable."""

    @property
    @abstractmethod
    def reach(self) -> int:
        """See RepeatScanner."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns of the rows that are grouped by document, all of them int64."""

    @abstractmethod
    def select(self, repeats: np.ndarray) -> pa.RecordBatch:
        """The rows to keep of some repetitions, int64[m, 7]."""

    @abstractmethod
    def collect(self, batches: Iterable[pa.RecordBatch], store: Store, stem: str) -> CollectedRows:
        """Write selected rows that come sorted by (doc_id, place)."""


@dataclass(frozen=True, slots=True)
class AnchorCollector(Collector):
    """Stages the places of all anchors that occur more than once, the first ones included."""

    folder: Url

    @property
    def reach(self) -> int:
        """1: an anchor overlaps only itself."""
        return 1

    @property
    def schema(self) -> pa.Schema:
        """Document and place."""
        return ANCHOR_SCHEMA

    def select(self, repeats: np.ndarray) -> pa.RecordBatch:
        """Both places of each repetition; that of the first occurrence once per batch."""
        firsts = np.unique(repeats[:, 4:6], axis=0)
        both = np.concatenate([repeats[:, :2], firsts])
        return _columns(both, ANCHOR_SCHEMA)

    def collect(self, batches: Iterable[pa.RecordBatch], store: Store, stem: str) -> CollectedRows:
        """Write each place once."""
        places = write_staged(store, self.folder, stem, ANCHOR_SCHEMA, _distinct(batches))
        return CollectedRows(anchors=places)


def _distinct(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    last = np.full((1, 2), -1, np.int64)
    for batch in batches:
        rows = np.stack([batch.column(name).to_numpy() for name in ANCHOR_SCHEMA.names], axis=1)
        fresh = (np.diff(rows, axis=0, prepend=last) != 0).any(axis=1)
        last = rows[-1:] if len(rows) else last
        yield _columns(rows[fresh], ANCHOR_SCHEMA)


def _columns(rows: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(np.ascontiguousarray(column)) for column in rows.T]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@dataclass(frozen=True, slots=True)
class UnitCollector(Collector):
    """Writes a row of `cuts` for each repeated line or paragraph."""

    granularity: str
    folder: Url
    layout: ParquetLayout

    @property
    def reach(self) -> int:
        """1: a line overlaps only itself."""
        return 1

    @property
    def schema(self) -> pa.Schema:
        """All columns of a repetition."""
        return REPEAT_SCHEMA

    def select(self, repeats: np.ndarray) -> pa.RecordBatch:
        """All repetitions."""
        return repeat_batch(repeats)

    def collect(self, batches: Iterable[pa.RecordBatch], store: Store, stem: str) -> CollectedRows:
        """Write the cuts."""
        done, end = CollectedRows(), np.full((1, len(REPEAT_SCHEMA)), -1, np.int64)
        with TableWriter(store, self.folder, "cuts", self.layout, stem) as writer:
            for cuts in self._cuts(batches):
                if len(cuts):
                    writer.write(self._rows(cuts))
                    done.bytes_cut += _covered_bytes(np.concatenate([end, cuts]))
                    end = cuts[-1:]
            done.cuts = writer.close()
        return done

    def _cuts(self, batches: Iterable[pa.RecordBatch]) -> Iterator[np.ndarray]:
        return map(repeat_matrix, batches)

    def _rows(self, cuts: np.ndarray) -> pa.RecordBatch:
        doc_id, _, start, stop, first_id, _, first_start = map(np.ascontiguousarray, cuts.T)
        granularity = pa.array([self.granularity]).take(pa.array(np.zeros(len(cuts), np.int64)))
        columns = [doc_id, start, stop, granularity, first_id, first_start]
        return pa.RecordBatch.from_arrays(
            [pa.array(column) for column in columns], schema=SCHEMAS["cuts"]
        )


def _covered_bytes(cuts: np.ndarray) -> int:
    """Bytes that all cuts but the first one cover; cuts are sorted by document and place."""
    before, after = cuts[:-1], cuts[1:]
    same = before[:, DOC_ID] == after[:, DOC_ID]
    start = np.where(same, np.maximum(before[:, STOP], after[:, START]), after[:, START])
    return int((after[:, STOP] - start).sum())


@dataclass(frozen=True, slots=True)
class RunCollector(UnitCollector):
    """Joins repeated runs of ``width`` words, and writes a row of `cuts` for each longest one."""

    width: int

    @property
    def reach(self) -> int:
        """``width``: runs that begin fewer words apart overlap."""
        return self.width

    def _cuts(self, batches: Iterable[pa.RecordBatch]) -> Iterator[np.ndarray]:
        from strata.pipelines.kernels.run_merging import RunMerger

        joiner = RunMerger(self.width)
        for batch in batches:
            yield joiner.feed(repeat_matrix(batch))
        yield joiner.finish()
