import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.dedup.band_rows import (
    ROW_SCHEMA,
    KeyKind,
    RowTask,
    band_rows,
    hash_to_sketch,
    kind_of,
    new_keys,
    sketch_words,
)
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.kernels.banding import SKETCH_WORDS, Banding, band_keys
from strata.pipelines.kernels.buckets import BucketScanner, pack_sketches
from tests.support.corpora.fingerprints import fingerprints

BANDING = Banding(5, 3)
WORDS = ["one text of some words", "one text of some words", "another text altogether", "x"]
WORDLESS = ["...", "...", "!?", " \n "]


def rows_of(store, *urls):
    task = RowTask(tuple(map(DataFile, urls)), BANDING)
    return pa.Table.from_batches(band_rows(task, store, None), ROW_SCHEMA)


def keys_of(table, kind):
    keys = table["key"].to_numpy()
    return {
        doc_id: sorted(keys[(table["doc_id"].to_numpy() == doc_id) & (kind_of(keys) == kind)])
        for doc_id in set(table["doc_id"].to_pylist())
    }


def test_rows_each_document_has_its_bands_its_bytes_and_its_id(store, folder):
    url, sketches = fingerprints(store, folder, WORDS, "aabc")
    table = rows_of(store, url)
    similar = keys_of(table, KeyKind.SIMILAR)
    expected = band_keys(sketches.signature, BANDING) & ~np.int64(3)
    assert similar == {10 + n: sorted(keys) for n, keys in enumerate(expected)}
    equal, same_id = keys_of(table, KeyKind.EQUAL), keys_of(table, KeyKind.SAME_ID)
    assert {len(keys) for keys in [*equal.values(), *same_id.values()]} == {1}
    assert equal[10] == equal[11]
    assert len({keys[0] for keys in equal.values()}) == 3
    assert same_id[10] == same_id[11]
    assert len({keys[0] for keys in same_id.values()}) == 3
    assert table.num_rows == 4 * (BANDING.bands + 2)


def test_rows_of_bands_carry_the_compact_sketch(store, folder):
    url, sketches = fingerprints(store, folder, WORDS, "abcd")
    table = rows_of(store, url).combine_chunks()
    packed = pack_sketches(sketches.signature)
    found = sketch_words(table["sketch"].chunk(0))
    for row in np.flatnonzero(kind_of(table["key"].to_numpy()) == KeyKind.SIMILAR):
        assert np.array_equal(found[row], packed[table["doc_id"][row].as_py() - 10])


def test_rows_document_without_words_meets_others_only_by_its_bytes(store, folder):
    url, sketches = fingerprints(store, folder, [*WORDLESS, WORDS[0]], "abcde")
    assert (sketches.n_shingles[:4] == 0).all()
    table = rows_of(store, url)
    similar, equal = keys_of(table, KeyKind.SIMILAR), keys_of(table, KeyKind.EQUAL)
    assert [len(similar[10 + n]) for n in range(5)] == [0, 0, 0, 0, BANDING.bands]
    assert equal[10] == equal[11]
    assert len({keys[0] for keys in equal.values()}) == 4


def test_rows_only_documents_without_words_still_come_all(store, folder):
    url, _ = fingerprints(store, folder, WORDLESS, "abcd")
    assert rows_of(store, url).num_rows == 2 * len(WORDLESS)


def test_rows_row_groups_and_files_do_not_change_them(store, folder):
    texts = [f"text number {n} of some" for n in range(200)]
    one, _ = fingerprints(store, folder / "one", texts, map(str, range(200)))
    many, _ = fingerprints(store, folder / "many", texts, map(str, range(200)), 5_000)
    order = [(name, "ascending") for name in ("key", "doc_id")]
    assert rows_of(store, many).sort_by(order) == rows_of(store, one).sort_by(order)
    assert rows_of(store, one, many).num_rows == 2 * rows_of(store, one).num_rows


def test_rows_of_old_documents_come_only_with_a_key_of_a_new_one(store, folder):
    texts = [f"text number {n} of some words" for n in range(30)]
    # Documents 30 to 39 are new; each of them is a copy of one of the first ten.
    url, _ = fingerprints(store, folder, [*texts, *texts[:10]], map(str, range(40)), first=0)
    task = RowTask((DataFile(url),), BANDING, watermark_doc_id=29)
    met = new_keys(task, store, 1 << 20)
    everything = rows_of(store, url)

    table = pa.Table.from_batches(band_rows(task, store, met), ROW_SCHEMA)

    keys, doc_ids = everything["key"].to_numpy(), everything["doc_id"].to_numpy()
    chosen = (doc_ids > 29) | np.isin(keys, keys[doc_ids > 29])
    assert 0 < chosen.sum() < len(chosen)
    assert table.equals(everything.filter(pa.array(chosen)))


def test_rows_of_another_corpus_are_below_zero_and_repeat_no_id(store, folder):
    url, _ = fingerprints(store, folder, WORDS, "abcd")
    task = RowTask((DataFile(url, shift=-1000),), BANDING)

    table = pa.Table.from_batches(band_rows(task, store, None), ROW_SCHEMA)

    assert set(table["doc_id"].to_pylist()) == {-990, -989, -988, -987}
    assert KeyKind.SAME_ID not in kind_of(table["key"].to_numpy())


def test_spread_different_hashes_never_match_at_threshold_one():
    rng = np.random.default_rng(1)
    some = rng.integers(0, 2**64, 2_000, np.uint64, endpoint=False)
    neighbours = some[:20, None] ^ (np.uint64(1) << np.arange(64, dtype=np.uint64))[None, :]
    corners = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    values = np.unique(np.concatenate([some, neighbours.reshape(-1), corners]))
    scanner = BucketScanner(1.0, len(values))
    edges = scanner.feed(
        np.zeros(len(values), np.int64), np.arange(len(values)), hash_to_sketch(values)
    )
    assert len(edges.a) == 0


def test_spread_equal_hashes_match_at_threshold_one():
    values = np.array([7, 8, 7, 8, 7], np.uint64)
    edges = BucketScanner(1.0).feed(np.full(5, 3), np.arange(5), hash_to_sketch(values))
    assert list(zip(edges.a, edges.b, edges.similarity, strict=True)) == [
        (0, 2, 1.0),
        (0, 4, 1.0),
        (1, 3, 1.0),
    ]


@pytest.mark.parametrize(("start", "length"), [(0, 9), (3, 4), (8, 1), (4, 0), (9, 0)])
def test_sketch_words_of_a_slice_are_those_rows(start, length):
    words = np.random.default_rng(2).integers(0, 2**63, (9, SKETCH_WORDS)).astype(np.uint64)
    column = pa.array([row.tobytes() for row in words], pa.binary())
    assert np.array_equal(sketch_words(column.slice(start, length)), words[start : start + length])


def test_sketch_words_of_no_rows_are_none():
    assert sketch_words(pa.array([], pa.binary())).shape == (0, SKETCH_WORDS)
    nothing = pa.RecordBatch.from_pydict({"key": [], "doc_id": [], "sketch": []}, ROW_SCHEMA)
    assert sketch_words(nothing.column("sketch")).shape == (0, SKETCH_WORDS)
