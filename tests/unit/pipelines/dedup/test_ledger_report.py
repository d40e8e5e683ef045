from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.dedup.ledger_report import (
    MAX_LARGEST_CLUSTERS,
    MAX_REPORTED_SOURCES,
    OTHER,
    REFERENCE_CORPORA,
    LedgerSummary,
)
from strata.pipelines.tables.inputs import SourceIndex
from strata.storage.layout.schemas import CLUSTERS


def sources_of(number):
    """Inputs 0 to number - 1, each with a source of its own."""
    return SourceIndex(
        tuple(f"source-{n}" for n in range(number)), np.arange(number, dtype=np.int16)
    )


def random_ledger(seed, inputs, foreign=0.0):
    """Clusters of random size; rows (doc_id, kept_id, size, kept), sorted by document."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(int(rng.integers(1, 60))):
        size = int(rng.choice([2, 2, 2, 3, 4, 5, 8, 40]))
        members = sorted(
            int(rng.integers(0, inputs)) << 37 | int(rng.integers(0, 2**37)) for _ in range(size)
        )
        kept = -int(rng.integers(1, 99)) if rng.random() < foreign else int(rng.choice(members))
        rows += [(doc_id, kept, size, doc_id == kept) for doc_id in members]
    return sorted(rows)


def batch_of(rows):
    doc_id, kept_id, size, kept = zip(*rows, strict=True)
    columns = [doc_id, kept_id, size, kept, ["fuzzy"] * len(rows), [0.9] * len(rows)]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, CLUSTERS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=CLUSTERS)


def summary_of(rows, sources, parts=1):
    """Count the rows in several parts, each in two batches, and add these up."""
    whole = LedgerSummary.of(sources)
    for number in range(parts):
        part, mine = LedgerSummary.of(sources), rows[number::parts]
        for some in (mine[: len(mine) // 3], mine[len(mine) // 3 :]):
            if some:
                part.count(batch_of(some), sources)
        whole.add(part)
    return whole


@pytest.mark.parametrize("seed", range(25))
def test_summary_of_random_ledgers_equals_a_naive_count(seed):
    sources, rows = sources_of(5), random_ledger(seed, 5, foreign=0.1)
    summary = summary_of(rows, sources, parts=1 + seed % 4)
    kept = [(size, doc_id) for doc_id, _, size, is_kept in rows if is_kept]
    removed = [(doc_id, kept_id, size) for doc_id, kept_id, size, is_kept in rows if not is_kept]
    assert (
        summary.largest == sorted(kept, key=lambda each: (-each[0], each[1]))[:MAX_LARGEST_CLUSTERS]
    )
    for each in summary.sizes():
        assert each.clusters == sum(each.least <= size <= each.most for size, _ in kept)
        assert each.removed == sum(each.least <= size <= each.most for _, _, size in removed)
    assert sum(each.removed for each in summary.sizes()) == len(removed)
    assert all(2 * each.least == each.most + 1 for each in summary.sizes())
    matrix = summary.matrix(sources)
    pairs = Counter((doc_id >> 37, max(kept_id >> 37, -1)) for doc_id, kept_id, _ in removed)
    name = {-1: REFERENCE_CORPORA, **{n: f"source-{n}" for n in range(5)}}
    assert {
        (matrix.names[i], matrix.names[j]): number
        for i, row in enumerate(matrix.removed)
        for j, number in enumerate(row)
        if number
    } == {(name[mine], name[theirs]): number for (mine, theirs), number in pairs.items()}


def test_summary_of_equal_sizes_keeps_the_smallest_ids():
    rows = [(n, n - n % 2, 2, n % 2 == 0) for n in range(200)]
    expected = [(2, 2 * n) for n in range(MAX_LARGEST_CLUSTERS)]
    assert summary_of(rows, sources_of(1)).largest == expected
    assert summary_of(rows[::-1], sources_of(1), parts=7).largest == expected


def test_summary_of_nothing_is_empty():
    summary = LedgerSummary.of(sources_of(3))
    summary.add(LedgerSummary.of(sources_of(3)))
    assert (summary.sizes(), summary.largest) == ([], [])
    assert summary.matrix(sources_of(3)).names == summary.matrix(sources_of(3)).removed == ()


def test_summary_sizes_span_all_powers_of_two_up_to_the_largest():
    rows = [(1, 1, 2, True), (2, 1, 2, False), (3, 3, 1 << 40, True), (4, 3, 1 << 40, False)]
    sizes = summary_of(rows, sources_of(1)).sizes()
    assert [each.least for each in sizes] == [1 << power for power in range(1, 41)]
    assert [each.clusters for each in sizes] == [1, *[0] * 38, 1]


def test_summary_matrix_of_many_sources_sums_up_the_rest():
    sources = sources_of(40)
    # Source n has n documents removed for one of source 0.
    rows = [(0, 0, 2, True)]
    rows += [(n << 37 | i + 1, 0, 2, False) for n in range(1, 40) for i in range(n)]
    matrix = summary_of(sorted(rows), sources, parts=3).matrix(sources)
    largest = [f"source-{n}" for n in range(39, 39 - MAX_REPORTED_SOURCES + 1, -1)]
    assert matrix.names == ("source-0", *largest, OTHER)
    column = [row[0] for row in matrix.removed]
    rest = sum(range(1, 39 - MAX_REPORTED_SOURCES + 2))
    assert column == [0, *range(39, 39 - MAX_REPORTED_SOURCES + 1, -1), rest]
    assert sum(map(sum, matrix.removed)) == sum(range(40))
