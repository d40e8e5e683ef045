import numpy as np
import pyarrow as pa
import pytest

from strata.pipelines.execution.staging import read_staged, write_staged
from strata.pipelines.passages.collectors import AnchorCollector, RunCollector, UnitCollector
from strata.pipelines.passages.rows import ROW_SCHEMA, RepeatScanner
from strata.pipelines.tables.removals import rows_between
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.writing.parquet import ParquetLayout

LAYOUT = ParquetLayout("zstd", 3, 32_000_000, 128_000_000)


def rows_of(rows):
    """Columns of (key, check, doc_id, place); a place begins at ten times its number."""
    key, check, doc_id, place = np.array(rows, np.int64).reshape(-1, 4).T
    columns = (key, check, doc_id, place, 10 * place, 10 * place + 7)
    return dict(zip(ROW_SCHEMA.names, columns, strict=True))


def scanned(rows, reach, pieces=1):
    scanner = RepeatScanner(reach)
    parts = [scanner.feed(rows_of(part)) for part in np.array_split(np.array(rows), pieces)]
    return np.concatenate(parts).tolist()


def naive(rows, reach):
    firsts, found = {}, []
    for key, check, doc, place in rows:
        first = firsts.setdefault(key, (check, doc, place))
        far = doc != first[1] or place >= first[2] + reach
        if first != (check, doc, place) and check == first[0] and far:
            found.append([doc, place, 10 * place, 10 * place + 7, *first[1:], 10 * first[2]])
    return found


@pytest.mark.parametrize("reach", [1, 4])
@pytest.mark.parametrize("seed", range(10))
def test_scan_random_rows_equal_the_oracle_however_cut_into_batches(seed, reach):
    rng = np.random.default_rng(seed)
    drawn = {tuple(row) for row in rng.integers(0, (6, 2, 3, 9), (120, 4)).tolist()}
    # A place of a document has one key only.
    rows = sorted(
        {(doc, place): (key, check, doc, place) for key, check, doc, place in drawn}.values()
    )
    rows = sorted(rows, key=lambda row: (row[0], row[2], row[3]))

    found = scanned(rows, reach)

    assert found == naive(rows, reach)
    assert found
    assert scanned(rows, reach, pieces=13) == found


def test_scan_same_key_other_check_is_no_repetition():
    assert scanned([(5, 1, 0, 0), (5, 2, 1, 0)], 1) == []


def batches_of(collector, rows, size):
    table = pa.Table.from_batches([collector.select(np.array(rows, np.int64))])
    return table.sort_by([("doc_id", "ascending"), ("place", "ascending")]).to_batches(size)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_anchors_every_place_once_with_that_of_the_first(store, folder, size):
    collector = AnchorCollector(folder)
    repeats = [(2, 5, 50, 57, 1, 3, 30), (2, 9, 90, 97, 1, 3, 30), (4, 1, 10, 17, 2, 5, 50)]

    done = collector.collect(batches_of(collector, repeats, size), store, "a")

    rows = rows_between([done.anchors.file], ["place"], 1, 3, store)
    assert list(zip(rows.doc_ids, rows.columns["place"], strict=True)) == [(1, 3), (2, 5), (2, 9)]


@pytest.mark.parametrize("size", [1, 100])
def test_cuts_bytes_are_counted_once_where_runs_overlap(store, folder, size):
    collector = RunCollector("substring", folder, LAYOUT, 4)
    # Two cuts of one document that share bytes, and one of another document.
    repeats = [(2, p, 10 * p, 10 * p + 37, 1, 3 * p, 0) for p in (5, 6, 7, 8)]
    repeats += [(3, 0, 0, 37, 1, 0, 0)]

    done = collector.collect(batches_of(collector, repeats, size), store, "c")

    (file,) = done.cuts
    names = ["doc_id", "start", "end", "grain"]
    found = [
        tuple(row.values())
        for batch in read_batches(store, Url.parse(file.url), names, None, 1000)
        for row in batch.to_pylist()
    ]
    assert [row[0] for row in found] == [2, 2, 3]
    covered = {(row[0], at) for row in found for at in range(row[1], row[2])}
    assert done.bytes_cut == len(covered) == 67 + 37


def test_cuts_no_repetition_no_file(store, folder):
    done = UnitCollector("line", folder, LAYOUT).collect([], store, "c")

    assert (done.cuts, done.bytes_cut) == ([], 0)


def test_rows_of_documents_in_their_order_and_bounds(store, folder):
    schema = pa.schema([("doc_id", pa.int64()), ("place", pa.int64())])
    parts = [([7, 7, 9], [4, 2, 1]), ([3, 8, 9], [6, 5, 0])]
    files = [
        write_staged(
            store,
            folder,
            "s",
            schema,
            [pa.RecordBatch.from_arrays(list(map(pa.array, p)), schema=schema)],
        )
        for p in parts
    ]

    rows = rows_between([each.file for each in files], ["place"], 4, 9, store)
    numbers, bounds = rows.of(np.array([9, 5, 7]))

    assert rows.columns["place"][numbers].tolist() == [0, 1, 2, 4]
    assert bounds.tolist() == [0, 2, 2, 4]
    assert [(each.rows, each.file.min_doc_id, each.file.max_doc_id) for each in files] == [
        (3, 7, 9),
        (3, 3, 9),
    ]
    assert (
        sum(b.num_rows for b in read_staged(store, [each.file.url for each in files], ["place"]))
        == 6
    )


def test_staged_without_rows_no_file(store, folder):
    empty = pa.RecordBatch.from_arrays(
        [pa.array([], t) for t in ROW_SCHEMA.types], schema=ROW_SCHEMA
    )

    assert write_staged(store, folder, "s", ROW_SCHEMA, [empty]) is None
    assert store.find(folder) == []
