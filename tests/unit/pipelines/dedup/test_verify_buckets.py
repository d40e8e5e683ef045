from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.dedup.band_rows import ROW_SCHEMA, KeyKind
from strata.pipelines.dedup.verify_buckets import (
    EDGE_SCHEMA,
    MAX_HUBS,
    ScanTask,
    read_edges,
    scan_partition,
)
from strata.pipelines.kernels.banding import SKETCH_WORDS
from strata.pipelines.kernels.buckets import acceptance
from strata.storage.contracts.options import StorageOptions

THRESHOLD = 0.8


def random_rows(seed, size=400):
    """Rows of a partition as (key, doc_id, sketch), sorted; few keys, and sketches near others."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (12, 64 * SKETCH_WORDS), np.uint8)
    rows = set()
    for _ in range(size):
        key = int(rng.integers(-6, 6)) * 4 + int(rng.integers(0, 3))
        doc_id = int(rng.integers(0, 80))
        # A document has one sketch a kind, as in the real rows.
        own = np.random.default_rng([seed, doc_id, key & 3])
        bits = centres[own.integers(0, len(centres))].copy()
        flips = own.choice(bits.size, int(own.choice([0, 0, 10, 30, 60])), replace=False)
        bits[flips] ^= 1
        rows.add((key, doc_id, np.packbits(bits, bitorder="little").tobytes()))
    return sorted(rows)


def naive_edges(rows, kind, threshold):
    """Every bucket by itself: the first hub that is near enough, in plain Python."""
    edges = {}
    for key in sorted({row[0] for row in rows if row[0] & 3 == kind}):
        hubs = []
        for _, doc_id, sketch in (row for row in rows if row[0] == key):
            for hub, other in hubs:
                same = int.from_bytes(sketch, "little") ^ int.from_bytes(other, "little")
                similarity = 1 - 2 * same.bit_count() / (64 * SKETCH_WORDS)
                if similarity >= acceptance(threshold):
                    edges[hub, doc_id] = similarity
                    break
            else:
                if len(hubs) < MAX_HUBS:
                    hubs.append((doc_id, sketch))
    return edges


def batch_of(rows):
    columns = list(zip(*rows, strict=True)) if rows else [[], [], []]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, ROW_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ROW_SCHEMA)


def scan(batches, folder):
    return scan_partition(batches, ScanTask(THRESHOLD, folder, StorageOptions({})))


def edges_of(store, *results):
    return sorted(tuple(row.values()) for row in read_edges(store, list(results)).to_pylist())


@pytest.mark.parametrize("seed", range(6))
def test_scan_any_cut_gives_the_naive_edges(store, folder, seed):
    rows = random_rows(seed)
    similar = naive_edges(rows, KeyKind.SIMILAR, THRESHOLD)
    equal = naive_edges(rows, KeyKind.EQUAL, 1.0)
    expected = sorted(
        [(a, b, similarity, False) for (a, b), similarity in similar.items()]
        + [(a, b, 1.0, True) for a, b in equal]
    )
    assert similar
    assert equal
    whole = batch_of(rows)
    rng = np.random.default_rng(seed)
    for number, cuts in enumerate([[], [1, 1, 2], sorted(rng.integers(0, len(rows), 30))]):
        bounds = [0, *cuts, len(rows)]
        parts = [whole.slice(a, b - a) for a, b in pairwise(bounds)]
        result = scan(parts, folder / str(number))
        assert edges_of(store, result) == expected
        assert (result.rows, result.edges) == (len(rows), len(expected))
        assert result.documents == sum(key & 3 == KeyKind.EQUAL for key, _, _ in rows)


def test_scan_repeated_ids_are_counted_and_join_nothing(store, folder):
    sketch = bytes(8 * SKETCH_WORDS)
    rows = [(4 + KeyKind.SAME_ID, doc_id, sketch) for doc_id in (1, 2, 3)]
    result = scan([batch_of(rows)], folder)
    assert (result.same_id, result.edges, result.url) == (2, 0, None)
    assert store.find(folder) == []


def test_scan_kinds_with_the_same_upper_bits_do_not_meet(store, folder):
    sketch = bytes(8 * SKETCH_WORDS)
    kinds = (KeyKind.SIMILAR, KeyKind.EQUAL, KeyKind.SAME_ID)
    rows = [(8 + kind, 10 * kind + n, sketch) for kind in kinds for n in range(2)]
    result = scan([batch_of(rows)], folder)
    assert edges_of(store, result) == [(0, 1, 1.0, False), (10, 11, 1.0, True)]
    assert result.same_id == 1


def test_scan_links_are_edges_of_their_kind(store, folder):
    def link(hub, doc_id, differing, kind):
        words = np.array([hub, differing, kind, 0], np.int64)
        return ((doc_id << 2) | KeyKind.LINK, doc_id, words.tobytes())

    rows = [
        link(2, 5, 16, KeyKind.SIMILAR),
        link(2, 5, 0, KeyKind.EQUAL),
        link(-7, 8, 0, KeyKind.SIMILAR),
        link(3, 9, 0, KeyKind.SAME_ID),
    ]
    result = scan([batch_of(rows[:2]), batch_of(rows[2:])], folder)

    expected = [(-7, 8, 1.0, False), (2, 5, 0.875, False), (2, 5, 1.0, True)]
    assert edges_of(store, result) == expected
    assert (result.edges, result.rows, result.documents, result.same_id) == (3, 4, 1, 1)


@pytest.mark.parametrize("batches", [[], [batch_of([])], [batch_of([]), batch_of([])]])
def test_scan_empty_partition_gives_an_empty_result(store, folder, batches):
    result = scan(batches, folder)
    assert (result.url, result.rows, result.documents) == (None, 0, 0)
    assert read_edges(store, [result, result]).equals(EDGE_SCHEMA.empty_table())


def test_read_edges_joins_the_files_of_all_partitions(store, folder):
    sketch = bytes(8 * SKETCH_WORDS)
    results = [
        scan([batch_of([(4, first, sketch), (4, first + 1, sketch)])], folder / str(first))
        for first in (10, 20, 30)
    ]
    assert [row[:2] for row in edges_of(store, *results)] == [(10, 11), (20, 21), (30, 31)]
    assert read_edges(store, []).schema == EDGE_SCHEMA
    assert results[0].counters.io.bytes_written > 0
