"""The decontamination pass in a worker: texts in, rows of `contained` out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from strata.pipelines.decontamination.items import BenchmarkItems, IndexFile, read_item_index
from strata.pipelines.execution.data_files import RowGroups
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.execution.tasks import TaskCost, task_stem
from strata.pipelines.kernels.buffers import text_buffers
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import CONTAINED
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import WrittenFile

if TYPE_CHECKING:
    from strata.pipelines.kernels.containment import ContainmentMatches

__all__ = ["ContainmentResult", "ContainmentTask", "contained_rows", "find_contained"]

BATCH_BYTES = 4_000_000
SAMPLE_CHARACTERS = 200
MAX_UTF8_BYTES = 4


@dataclass(frozen=True, slots=True)
class ContainmentTask:
    """Row groups of `documents` to search.

    Attributes:
        parts: the row groups.
        watermark_doc_id: documents up to this one were searched by an earlier run.
        items: the file of the index.
        corpora: names of the benchmark corpora.
        target: where the rows are written.
    """

    parts: tuple[RowGroups, ...]
    watermark_doc_id: int
    items: IndexFile
    corpora: tuple[str, ...]
    target: TableTarget


@dataclass(slots=True)
class ContainmentResult:
    """How much a task searched, and the files that it wrote."""

    documents: int
    text_bytes: int
    files: list[WrittenFile]
    counters: Counters


def find_contained(task: ContainmentTask) -> ContainmentResult:
    """Search the new documents of some row groups for items, and write the matches."""
    cost, store = TaskCost(), MeteredStore(open_store(task.target.storage))
    items = read_item_index(task.items)
    result = ContainmentResult(0, 0, [], Counters())
    rows = (
        contained_rows(batch, items, task.corpora) for batch in _new_documents(task, store, result)
    )
    written = task.target.write(rows, task_stem("contained"))
    result.files, result.counters = written.files, cost.counters(store.meter)
    result.counters.io.bytes_written = written.bytes_written
    result.counters.files_written = len(written.files)
    result.counters.text_bytes = result.text_bytes
    return result


def _new_documents(
    task: ContainmentTask, store: Store, result: ContainmentResult
) -> Iterator[pa.RecordBatch]:
    columns = ["doc_id", "text", "n_bytes"]
    for part in task.parts:
        groups = part.groups
        for batch in read_batches(store, Url.parse(part.file.url), columns, groups, BATCH_BYTES):
            new = batch.column("doc_id").to_numpy() > task.watermark_doc_id
            chosen = batch if new.all() else batch.filter(pa.array(new))
            result.documents += chosen.num_rows
            result.text_bytes += int(chosen.column("n_bytes").to_numpy().sum())
            yield chosen


def contained_rows(
    batch: pa.RecordBatch, items: BenchmarkItems, corpora: tuple[str, ...]
) -> pa.RecordBatch:
    """The matches of some documents as rows of `contained`, by document, corpus and item.

    Args:
        batch: documents with ``doc_id`` and ``text``.
        items: the items to look for.
        corpora: the names of their corpora.
    """
    from strata.pipelines.kernels.containment import contained_items

    text = batch.column("text")
    found = contained_items(text, items.index)
    doc_ids = batch.column("doc_id").to_numpy()[found.text]
    corpus, other_ids = items.corpus[found.item], items.doc_id[found.item]
    order = pa.array(np.lexsort((other_ids, corpus, doc_ids)))
    columns = {
        "doc_id": pa.array(doc_ids),
        "other_corpus": pa.array(corpora, pa.string()).take(pa.array(corpus)),
        "other_id": pa.array(other_ids),
        "containment": pa.array((found.matched / items.ngrams[found.item]).astype(np.float32)),
        "matched": pa.array(found.matched),
        "sample": pa.array(_samples(text, found), pa.string()),
    }
    arrays = [columns[name].take(order) for name in CONTAINED.names]
    return pa.RecordBatch.from_arrays(arrays, schema=CONTAINED)


def _samples(texts: pa.LargeStringArray, found: ContainmentMatches) -> list[str]:
    """The beginning of the longest run of matched words of each match, as it is written."""
    from strata.pipelines.kernels.word_offsets import word_offsets

    number = len(found.text)
    both_ends = np.concatenate([found.first, found.last])
    places = word_offsets(texts, np.tile(found.text, 2), both_ends)
    buffers = text_buffers(texts)
    start = buffers.offsets[found.text]
    begin, end = places[:number, 0], places[number:, 1]
    end = np.minimum(end, begin + SAMPLE_CHARACTERS * MAX_UTF8_BYTES)
    return [
        buffers.data[at + first : at + last].tobytes().decode("utf-8", "ignore")[:SAMPLE_CHARACTERS]
        for at, first, last in zip(start, begin, end, strict=True)
    ]
