import datetime as dt
import decimal
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import InputMissingError
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.rejects import BrokenFile, RejectReason
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.settings import FieldMapping, InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()


def splits_of(path, split_bytes=10**9, **settings):
    found = list_inputs(STORE, [InputSettings(path=str(path), **settings)]).files
    return plan_splits([file.numbered(2) for file in found], STORE, split_bytes)


def batches(path, limit=10_000_000, batch_bytes=1_000_000, **settings):
    for split in splits_of(path, **settings):
        for batch in read_split(STORE, split, ReadLimits(limit, batch_bytes)):
            assert batch.records == batch.documents.num_rows + len(batch.rejects)
            batch.documents.validate(full=True)
            yield batch


def read(path, **options):
    documents, rejects = [], []
    for batch in batches(path, **options):
        documents += batch.documents.to_pylist()
        rejects += batch.rejects
    return documents, rejects


def write(tmp_path, columns, **options):
    path = tmp_path / "rows.parquet"
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, path, **options)
    return path


def broken(path, **options):
    with pytest.raises(BrokenFile) as caught:
        read(path, **options)
    reject = caught.value.reject
    assert reject.uri == f"file://{path}"
    assert reject.excerpt
    return reject


def test_parquet_rows_become_documents(tmp_path):
    columns = {"text": ["a", "ü"], "id": ["x", None], "lang": ["en", None], "n": [1, None]}
    documents, rejects = read(write(tmp_path, columns), source="web")
    base = {"lang": None, "url": None, "source": "web", "created": None}
    assert documents == [
        base | {"doc_id": 2 << 37, "id": "x", "text": "a", "lang": "en", "metadata": '{"n":1}'},
        base | {"doc_id": (2 << 37) + 1, "id": "2-1", "text": "ü", "metadata": None},
    ]
    assert rejects == []


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet_text_of_any_string_type_is_read(tmp_path, kind):
    text = pa.array(["a", "b", "a"]).cast(kind)
    documents, _ = read(write(tmp_path, {"text": text, "id": text, "url": text, "other": text}))
    assert [(d["text"], d["id"], d["url"]) for d in documents] == [(t, t, t) for t in "aba"]
    assert documents[1]["metadata"] == '{"other":"b"}'


def test_parquet_bad_rows_become_rejects_alone(tmp_path):
    text = ["good", None, "", "\0\0", "x" * 5000, "good"]
    path = write(tmp_path, {"text": text, "id": [f"i{n}" for n in range(6)]}, row_group_size=4)
    documents, rejects = read(path, limit=1000)
    assert [(doc["id"], doc["text"]) for doc in documents] == [("i0", "good"), ("i5", "good")]
    assert [(reject.position, reject.reason) for reject in rejects] == [
        (1, RejectReason.NULL_TEXT),
        (2, RejectReason.EMPTY_TEXT),
        (3, RejectReason.EMPTY_TEXT),
        (4, RejectReason.TOO_LONG),
    ]
    assert rejects[3].excerpt == "x" * 200


def invalid_strings(values):
    offsets = pa.array(
        [0, *(sum(map(len, values[: n + 1])) for n in range(len(values)))], pa.int32()
    )
    return pa.StringArray.from_buffers(
        len(values), offsets.buffers()[1], pa.py_buffer(b"".join(values))
    )


@pytest.mark.parametrize("name", ["text", "id", "other"])
def test_parquet_row_with_invalid_utf8_becomes_a_reject_alone(tmp_path, name):
    columns = {"text": pa.array(["a", "b", "c"]), "id": pa.array(["1", "2", "3"])}
    columns |= {name: invalid_strings([b"ok", b"caf\xe9 \xed\xa0\x80", "ü".encode()])}
    documents, rejects = read(write(tmp_path, columns))
    assert [doc["doc_id"] - (2 << 37) for doc in documents] == [0, 2]
    assert [(r.position, r.reason) for r in rejects] == [(1, RejectReason.INVALID_UTF8)]
    rejects[0].excerpt.encode()


def test_parquet_without_the_text_column_is_broken(tmp_path):
    path = write(tmp_path, {"body": ["a"], "id": ["x"]})
    reject = broken(path)
    assert reject.reason is RejectReason.NO_TEXT_COLUMN
    assert "body, id" in reject.excerpt
    assert read(path, fields=FieldMapping(text="body"))[0][0]["text"] == "a"


@pytest.mark.parametrize("text", [[1, 2], [["a"], ["b"]], [None, None]])
def test_parquet_text_of_another_type_is_broken(tmp_path, text):
    reject = broken(write(tmp_path, {"text": text}))
    assert reject.reason is RejectReason.TEXT_NOT_STRING
    assert "type" in reject.excerpt


@pytest.mark.parametrize("cut", [0, 3, 8, 500, -1, -8])
def test_parquet_cut_anywhere_is_broken(tmp_path, cut):
    path = write(tmp_path, {"text": [f"row {n}" for n in range(1000)]})
    path.write_bytes(path.read_bytes()[:cut])
    assert broken(path).reason is RejectReason.CORRUPT_FILE


def test_parquet_with_a_damaged_footer_is_broken(tmp_path):
    path = write(tmp_path, {"text": ["a"] * 100})
    data = bytearray(path.read_bytes())
    size = struct.unpack("<I", data[-8:-4])[0]
    data[-8 - size : -8] = bytes(byte ^ 0xFF for byte in data[-8 - size : -8])
    path.write_bytes(data)
    assert broken(path).reason is RejectReason.CORRUPT_FILE


@pytest.mark.parametrize("checksum", [True, False])
def test_parquet_with_damaged_pages_is_broken_from_there(tmp_path, checksum):
    text = [f"row number {n}" for n in range(900)]
    options = {"row_group_size": 300, "compression": "zstd", "write_page_checksum": checksum}
    path = write(tmp_path, {"text": text}, **options)
    chunk = pq.read_metadata(path).row_group(1).column(0)
    place = chunk.dictionary_page_offset + chunk.total_compressed_size // 2
    data = bytearray(path.read_bytes())
    data[place : place + 60] = b"\xa5" * 60
    path.write_bytes(data)
    reject = broken(path)
    assert (reject.reason, reject.position) == (RejectReason.CORRUPT_FILE, 300)


def test_parquet_that_is_something_else_is_broken(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"not parquet at all\n" * 100)
    assert broken(path).reason is RejectReason.CORRUPT_FILE


def test_parquet_that_is_gone_is_missing_and_not_broken(tmp_path):
    path = write(tmp_path, {"text": ["a"]})
    splits = splits_of(path)
    path.unlink()
    with pytest.raises(InputMissingError):
        list(read_split(STORE, splits[0], ReadLimits(1000)))


@pytest.mark.parametrize("rows", [0, 5])
def test_parquet_without_rows_or_with_empty_row_groups_is_read(tmp_path, rows):
    path = tmp_path / "rows.parquet"
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        writer.write_table(schema.empty_table())
        writer.write_table(pa.table({"text": ["a"] * rows}, schema=schema))
        writer.write_table(schema.empty_table())
    assert [len(part) for part in read(path)] == [rows, 0]


def test_parquet_columns_of_one_name_are_broken(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["text", "x", "x"])
    assert "x, x" in broken(write(tmp_path, table)).excerpt


def test_parquet_metadata_keeps_values_of_every_type(tmp_path):
    when = dt.datetime.fromisoformat("2024-02-29T12:30:01")
    columns = {
        "text": pa.array(["t"]),
        "naive": pa.array([when], pa.timestamp("us")),
        "utc": pa.array([when], pa.timestamp("ns", "Europe/Berlin")),
        "nanos": pa.array([1], pa.timestamp("ns")),
        "day": pa.array([when.date()]),
        "late": pa.array([10**15], pa.timestamp("ms")),
        "clock": pa.array([1], pa.time64("ns")),
        "span": pa.array([dt.timedelta(seconds=90)]),
        "price": pa.array([decimal.Decimal("1.50")]),
        "raw": pa.array([b"\xff\0"]),
        "list": pa.array([["ü", None]]),
        "struct": pa.array([{"a": {"b": [1.5, float("nan")]}}]),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        "flag": pa.array([True]),
        "nothing": pa.nulls(1),
        "big": pa.array([2**64 - 1], pa.uint64()),
    }
    documents, rejects = read(write(tmp_path, columns))
    assert rejects == []
    metadata = json.loads(documents[0]["metadata"])
    assert metadata == {
        "naive": "2024-02-29T12:30:01.000000",
        "utc": "2024-02-29T12:30:01.000000000Z",
        "nanos": "1970-01-01T00:00:00.000000001",
        "day": "2024-02-29",
        "late": str(10**15),
        "clock": "00:00:00.000000001",
        "span": "PT90S",
        "price": "1.50",
        "raw": "/wA=",
        "list": ["ü", None],
        "struct": {"a": {"b": [1.5, None]}},
        "map": [["k", 1]],
        "flag": True,
        "big": 2**64 - 1,
    }


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ('{"a": 1, "n": 0}', {"a": 1, "n": 5}),
        ('{"a": ', {"metadata": '{"a": ', "n": 5}),
        ("plain", {"metadata": "plain", "n": 5}),
        (None, {"n": 5}),
        ({"a": [1]}, {"a": [1], "n": 5}),
    ],
)
def test_parquet_metadata_column_is_the_base(tmp_path, metadata, expected):
    kind = pa.string() if metadata is None else None
    columns = {"text": ["t"], "n": [5], "metadata": pa.array([metadata], kind)}
    (doc,), _ = read(write(tmp_path, columns))
    assert json.loads(doc["metadata"]) == expected


def test_parquet_names_of_other_types_become_their_json_text(tmp_path):
    columns = {"text": ["t", "u"], "id": [7, None], "url": [1.5, None], "lang": [["en"], None]}
    documents, _ = read(write(tmp_path, columns))
    assert [(d["id"], d["url"], d["lang"]) for d in documents] == [
        ("7", "1.5", '["en"]'),
        ("2-1", None, None),
    ]


def test_parquet_deeply_nested_metadata_is_kept(tmp_path):
    kind, value = pa.int64(), 1
    for _ in range(40):
        kind, value = pa.struct([("k", kind)]), {"k": value}
    (doc,), _ = read(write(tmp_path, {"text": ["t"], "deep": pa.array([value], kind)}))
    assert doc["metadata"].count("{") == 41


def test_parquet_batches_are_bounded_in_bytes(tmp_path):
    path = write(tmp_path, {"text": [f"{n} " * 3000 for n in range(400)]}, compression="none")
    sizes = [batch.documents.nbytes for batch in batches(path, batch_bytes=200_000)]
    assert len(sizes) > 10
    assert max(sizes) < 500_000
