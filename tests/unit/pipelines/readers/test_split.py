import itertools
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.split import ReadLimits, Split, plan_splits
from strata.settings import InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()
LIMITS = ReadLimits(60, 40)
# A byte order mark, CRLF, blank and bad lines, new keys, lines beyond the limit, no last newline.
LINES = (
    b'\xef\xbb\xbf{"text":"a","k":1}\n{"text":"b","j":2,"k":1}\r\n\n\r\n{"text":"c\n{"k":1,"text":"d",'
    b'"j":3}\n   \n\xff\n{"text":"'
    + b"x" * 200
    + b'"}\n{"text":"'
    + b"y" * 65
    + b'"}\n{"text":"e","id":5}\n'
    b'{"text":"\xc3\xbc","metadata":{"j":1}}\n{"text":null}\n{"text":"last"}'
)


def inputs(path):
    found = list_inputs(STORE, [InputSettings(path=str(path))]).files
    return [file.numbered(number) for number, file in enumerate(found)]


def read(splits):
    documents, rejects, records = [], [], 0
    for split in splits:
        for batch in read_split(STORE, split, LIMITS):
            documents += batch.documents.to_pylist()
            rejects += batch.rejects
            records += batch.records
    assert records == len(documents) + len(rejects)
    return documents, rejects


def pieces(file, bounds):
    return [Split(file, start, end, 0, end - start) for start, end in itertools.pairwise(bounds)]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(LINES)
    (file,) = inputs(path)
    return file


def test_split_jsonl_at_every_byte_gives_the_same_documents(lines):
    whole = read(pieces(lines, [0, lines.size]))
    assert [doc["text"] for doc in whole[0]] == ["a", "b", "d", "e", "ü", "last"]
    assert len(whole[1]) == 5
    for cut in range(lines.size + 1):
        assert read(pieces(lines, [0, cut, lines.size])) == whole, cut


@pytest.mark.parametrize("step", [1, 2, 3, 7, 19, 100])
def test_split_jsonl_into_pieces_of_any_size_gives_the_same_documents(lines, step):
    bounds = [*range(0, lines.size, step), lines.size]
    assert read(pieces(lines, bounds)) == read(pieces(lines, [0, lines.size]))


def test_split_jsonl_pairs_of_bounds_give_the_same_documents(lines):
    whole = read(pieces(lines, [0, lines.size]))
    for first in range(0, lines.size, 43):
        for second in range(first, lines.size, 47):
            assert read(pieces(lines, [0, first, second, lines.size])) == whole


def test_split_plan_covers_plain_jsonl_by_bytes(lines):
    splits = plan_splits([lines], STORE, 60)
    assert len(splits) > 5
    assert (splits[0].start, splits[-1].end) == (0, lines.size)
    assert all(a.end == b.start for a, b in itertools.pairwise(splits))
    assert max(s.weight for s in splits) < 2 * min(s.weight for s in splits)
    assert read(splits) == read(pieces(lines, [0, lines.size]))


def parquet(tmp_path, rows=40, row_group_size=3):
    path = tmp_path / "rows.parquet"
    text = [None if n % 7 == 3 else f"row {n} " + "x" * n for n in range(rows)]
    table = pa.table({"text": text, "id": [f"i{n}" for n in range(rows)], "n": range(rows)})
    pq.write_table(table, path, row_group_size=row_group_size)
    return inputs(path)[0]


@pytest.mark.parametrize("split_bytes", [1, 500, 1000, 10**9])
def test_split_parquet_by_row_groups_gives_the_same_documents(tmp_path, split_bytes):
    file = parquet(tmp_path)
    whole = read([Split(file, 0, 14, 0, 1)])
    assert [doc["doc_id"] for doc in whole[0]] == [n for n in range(40) if n % 7 != 3]
    assert [reject.position for reject in whole[1]] == [n for n in range(40) if n % 7 == 3]
    splits = plan_splits([file], STORE, split_bytes)
    assert len(splits) in {1: [14], 10**9: [1]}.get(split_bytes, range(2, 15))
    assert read(splits) == whole


def test_split_parquet_at_every_row_group_gives_the_same_documents(tmp_path):
    file = parquet(tmp_path)
    whole = read([Split(file, 0, 14, 0, 1)])
    for cut in range(15):
        parts = [Split(file, 0, cut, 0, 1), Split(file, cut, 14, min(3 * cut, 40), 1)]
        assert read(parts) == whole


def test_split_plan_keeps_the_order_and_reads_compressed_files_whole(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"x" * 5000)
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "b"}\n' * 300)
    (tmp_path / "c.txt").write_bytes(b"c" * 3000)
    (tmp_path / "d.csv").write_bytes(b"text\n" + b"d\n" * 1000)
    splits = plan_splits(inputs(tmp_path), STORE, 1000)
    ordinals = [split.file.ordinal for split in splits]
    assert ordinals == sorted(ordinals)
    assert [ordinals.count(number) for number in range(4)] == [1, 4, 1, 1]
    assert splits[0].weight > 5000


def test_split_plan_of_many_parquet_files_keeps_their_order_and_their_damage(tmp_path):
    for number in range(40):
        text = ["t" * number] * 10
        pq.write_table(
            pa.table({"text": text}), tmp_path / f"{number:02}.parquet", row_group_size=5
        )
    (tmp_path / "07.parquet").write_bytes(b"damaged")
    (tmp_path / "08.jsonl").write_bytes(b'{"text": "b"}\n')
    files = inputs(tmp_path)
    splits = plan_splits(files, STORE, 1)
    assert splits == [split for file in files for split in plan_splits([file], STORE, 1)]
    ordinals = [split.file.ordinal for split in splits]
    assert ordinals == sorted(ordinals)
    assert [ordinals.count(number) for number in range(10)] == [*[2] * 7, 1, 14, 2]


def test_split_of_an_empty_file_is_there_and_reads_nothing(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    splits = plan_splits(inputs(tmp_path), STORE, 1000)
    assert len(splits) == 1
    assert read(splits) == ([], [])


def test_split_survives_pickling(tmp_path, lines):
    for split in plan_splits([lines, parquet(tmp_path)], STORE, 200):
        assert pickle.loads(pickle.dumps(split)) == split
