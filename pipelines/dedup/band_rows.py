"""The rows that dedup shuffles: one per band and document, made from `fingerprints` in the workers.

The two low bits of a key say what equal keys mean, so that one shuffle finds equal texts,
similar texts and repeated ids. A row is (key, doc_id, sketch); the sketch lets a bucket be verified
in place. A document that joins a hub of a skewed key before the shuffle has a row for that pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.kernels.banding import SKETCH_WORDS, Banding, band_keys
from strata.pipelines.kernels.buckets import Edges, edges_of_pairs, pack_sketches
from strata.pipelines.kernels.buffers import fixed_matrix
from strata.pipelines.kernels.columns import Columns
from strata.pipelines.kernels.hubs import NO_HUBS, HubMatches, Hubs
from strata.pipelines.kernels.key_filter import KeyFilter
from strata.pipelines.kernels.runs import distinct_pairs
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches

__all__ = [
    "ROW_SCHEMA",
    "KeyKind",
    "KeyedRows",
    "RowTask",
    "band_rows",
    "hash_to_sketch",
    "key_of",
    "keyed_rows",
    "kind_of",
    "link_pairs",
    "new_keys",
    "sketch_words",
]

# A batch of n fingerprints becomes (bands + 2) * n rows.
BATCH_BYTES = 2_000_000
COLUMNS = ["doc_id", "n_shingles", "content_hash", "id_hash", "signature"]
ROW_SCHEMA = pa.schema(
    [
        pa.field("key", pa.int64(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("sketch", pa.binary(), nullable=False),
    ]
)
# Odd multipliers spread one hash over the words of a sketch (splitmix64's constant).
SKETCH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class KeyKind(IntEnum):
    """What documents with the same key have in common."""

    SIMILAR = 0
    EQUAL = 1
    SAME_ID = 2
    LINK = 3
    """Nothing: the row is a pair found before the shuffle; its key only picks a partition."""


@dataclass(frozen=True, slots=True)
class RowTask:
    """Files of `fingerprints` that one task turns into rows.

    Documents up to ``watermark_doc_id`` were compared with each other by an earlier run: they only
    matter where they share a key with a later one.
    """

    files: tuple[DataFile, ...]
    banding: Banding
    watermark_doc_id: int = -1


def kind_of(keys: np.ndarray) -> np.ndarray:
    """Kind of each key: int64[n] -> int64[n]."""
    return keys & 3


def band_rows(
    task: RowTask, store: Store, candidate_filter: KeyFilter | None, hubs: Hubs = NO_HUBS
) -> Iterator[pa.RecordBatch]:
    """The rows of all documents of a task, in batches of ROW_SCHEMA.

    Args:
        task: the files.
        store: where they are.
        candidate_filter: keys of the new documents; old documents give only rows with such a key.
            None where everything is new.
        hubs: hubs of the skewed keys; a document that joins one is not compared again under that
            key.
    """
    for every in keyed_rows(task, store):
        keyed = every
        if len(hubs.keys):
            joined = hubs.join(every.keys, every.doc_ids, every.sketches)
            yield _link_rows(every, joined, hubs, task.watermark_doc_id)
            keyed = every.take(joined.differing < 0)
        chosen = (
            slice(None)
            if candidate_filter is None
            else _matches_new(keyed, task.watermark_doc_id, candidate_filter)
        )
        yield _batch(keyed.keys[chosen], keyed.doc_ids[chosen], keyed.sketches[chosen])


def new_keys(task: RowTask, store: Store, n_bits: int) -> KeyFilter:
    """The keys of the new documents of a task."""
    found = KeyFilter.empty(n_bits)
    for keyed in keyed_rows(task, store):
        found.add(keyed.keys[keyed.doc_ids > task.watermark_doc_id])
    return found


@dataclass(frozen=True, slots=True)
class KeyedRows(Columns):
    """Rows of one kind: int64[n], int64[n] and uint64[n, SKETCH_WORDS]."""

    keys: np.ndarray
    doc_ids: np.ndarray
    sketches: np.ndarray


def _matches_new(
    keyed: KeyedRows, watermark_doc_id: int, candidate_filter: KeyFilter
) -> np.ndarray:
    meeting: np.ndarray = (keyed.doc_ids > watermark_doc_id) | candidate_filter.contains(keyed.keys)
    return meeting


def keyed_rows(task: RowTask, store: Store, every: int = 1) -> Iterator[KeyedRows]:
    """The keys of the documents of a task (of one in ``every``), one kind after the other."""
    passed = 0
    for file in task.files:
        for batch in read_batches(store, Url.parse(file.url), COLUMNS, None, BATCH_BYTES):
            drawn = batch if every == 1 else batch.take(_evenly(passed, batch.num_rows, every))
            passed += batch.num_rows
            if drawn.num_rows:
                yield from _kinds(drawn, drawn.column("doc_id").to_numpy() + file.shift, task)


def _evenly(passed: int, rows: int, every: int) -> pa.Int64Array:
    return pa.array(np.arange(-passed % every, rows, every))


def _kinds(batch: pa.RecordBatch, doc_ids: np.ndarray, task: RowTask) -> Iterator[KeyedRows]:
    signature = fixed_matrix(batch.column("signature"))
    # A document without words is compared by its bytes only.
    worded = batch.column("n_shingles").to_numpy() > 0
    keys = band_keys(signature[worded], task.banding)
    bands = task.banding.bands
    yield KeyedRows(
        key_of(keys, KeyKind.SIMILAR).reshape(-1),
        np.repeat(doc_ids[worded], bands),
        np.repeat(pack_sketches(signature[worded]), bands, axis=0),
    )
    hashes = fixed_matrix(batch.column("content_hash")).view(np.int64)
    yield KeyedRows(key_of(hashes[:, 0], KeyKind.EQUAL), doc_ids, hash_to_sketch(hashes[:, 1]))
    # An id is repeated within a corpus, not between two.
    own = doc_ids >= 0
    ids = batch.column("id_hash").to_numpy()[own]
    yield KeyedRows(key_of(ids, KeyKind.SAME_ID), doc_ids[own], hash_to_sketch(ids))


def _link_rows(
    keyed: KeyedRows, joined: HubMatches, hubs: Hubs, watermark_doc_id: int
) -> pa.RecordBatch:
    """One row for every pair of a new document and the hub that it joins.

    The words of its sketch are the hub, the bits that differ, and the kind of key.
    """
    # Pairs that an earlier run compared are known.
    rows = np.flatnonzero((joined.differing >= 0) & (keyed.doc_ids > watermark_doc_id))
    hub, doc_ids = hubs.doc_ids[joined.hub[rows]], keyed.doc_ids[rows]
    # Bands find the same pair again and again.
    once = distinct_pairs(doc_ids, hub)
    rows, hub, doc_ids = rows[once], hub[once], doc_ids[once]
    words = [hub, joined.differing[rows], kind_of(keyed.keys[rows]), np.zeros(len(rows), np.int64)]
    return _batch((doc_ids << 2) | KeyKind.LINK, doc_ids, np.stack(words, axis=1).view(np.uint64))


def link_pairs(rows: pa.RecordBatch) -> dict[KeyKind, Edges]:
    """The pairs of rows of kind LINK, by the kind of key that they share."""
    doc_ids = rows.column("doc_id").to_numpy()
    hub, differing, kinds, _ = sketch_words(rows.column("sketch")).view(np.int64).T
    return {
        KeyKind(kind): edges_of_pairs(
            hub[kinds == kind], doc_ids[kinds == kind], differing[kinds == kind]
        )
        for kind in np.unique(kinds).tolist()
    }


def key_of(hashes: np.ndarray, kind: KeyKind) -> np.ndarray:
    """Hashes as keys of a kind: int64[...] -> int64[...]."""
    keys: np.ndarray = (hashes & ~np.int64(3)) | kind
    return keys


def hash_to_sketch(values: np.ndarray) -> np.ndarray:
    """Hashes, int64[n], as sketches: equal hashes give equal sketches, others never match."""
    steps = np.arange(1, SKETCH_WORDS + 1, dtype=np.uint64) * SKETCH_MULTIPLIER
    words = (values.view(np.uint64)[:, None] ^ steps[None, :]) * SKETCH_MULTIPLIER
    mixed: np.ndarray = words ^ (words >> np.uint64(29)) * SKETCH_MULTIPLIER
    return mixed


def _batch(keys: np.ndarray, doc_ids: np.ndarray, sketches: np.ndarray) -> pa.RecordBatch:
    width = 8 * SKETCH_WORDS
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * np.int32(width)
    data = pa.py_buffer(np.ascontiguousarray(sketches).reshape(-1))
    sketch = pa.BinaryArray.from_buffers(
        pa.binary(), len(keys), [None, pa.py_buffer(offsets), data]
    )
    return pa.RecordBatch.from_arrays(
        [pa.array(keys), pa.array(doc_ids), sketch], schema=ROW_SCHEMA
    )


def sketch_words(column: pa.BinaryArray) -> np.ndarray:
    """The sketches of a batch as uint64[n, SKETCH_WORDS]."""
    width = 8 * SKETCH_WORDS
    offsets = np.frombuffer(column.buffers()[1], np.int32)
    first = int(offsets[column.offset])
    data = np.frombuffer(column.buffers()[2], np.uint8)
    return (
        data[first : first + len(column) * width].view(np.uint64).reshape(len(column), SKETCH_WORDS)
    )
