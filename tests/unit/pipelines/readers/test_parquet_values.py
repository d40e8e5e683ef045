"""Parquet values that Python cannot hold, and files whose footer lies."""

import datetime
import decimal
import io
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.errors import SettingsError
from strata.pipelines.readers.rejects import RejectReason
from strata.storage.reading.scan import ParquetScan
from strata.storage.stores.fsspec_store import FsspecStore

NANOSECONDS = pa.timestamp("ns", tz="Nowhere/Land")
ONE = "1970-01-01T00:00:00.000000001Z"


def parquet(columns, **options):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def of_one_struct(kind, value):
    return pa.array([{"a": value}, None], pa.struct([("a", kind)]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, None], NANOSECONDS), ONE),
        (of_one_struct(NANOSECONDS, 1), {"a": ONE}),
        (pa.array([[1, None], None], pa.list_(NANOSECONDS)), [ONE, None]),
        (pa.array([[1], None], pa.large_list(NANOSECONDS)), [ONE]),
        (pa.array([[1, None], None], pa.list_(NANOSECONDS, 2)), [ONE, None]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), NANOSECONDS)), [["k", ONE]]),
        (pa.array([2**62, None], pa.timestamp("us")), str(2**62)),
        (of_one_struct(pa.timestamp("us", tz="UTC"), 2**62), {"a": str(2**62)}),
        (pa.array([2**30, None], pa.date32()), str(2**30)),
        (of_one_struct(pa.date32(), 1), {"a": "1970-01-02"}),
        (of_one_struct(pa.time64("ns"), 1), {"a": "00:00:00.000000001"}),
        (pa.array([2**62, None], pa.duration("s")), f"PT{2**62}S"),
        (of_one_struct(pa.duration("ns"), -1_500_000_000), {"a": "PT-1.5S"}),
        (pa.array([float("inf"), None]), None),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_parquet_metadata_holds_values_that_python_cannot(reader, values, expected, first):
    # A row that is null before it checks that slices are minded.
    values = pa.concat_arrays([values.slice(1)] * first + [values])
    data = parquet({"text": ["t"] * len(values), "v": values})
    metadata = reader.read("a.parquet", data).metadata
    assert metadata == [None] * first + [{"v": expected}, None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1.5, float("nan")]), "1.5"),
        (pa.array([7.0, None], pa.float16()), "7.0"),
        (pa.array([b"\xff\0", None]), "/wA="),
        (pa.array([1, None], NANOSECONDS), ONE),
        (pa.array([datetime.date(2020, 2, 29), None]), "2020-02-29"),
        (pa.array([decimal.Decimal("1.50"), None]), "1.50"),
        (pa.array([uuid.UUID(int=5).bytes, None], pa.uuid()), str(uuid.UUID(int=5))),
        (pa.array([2**64 - 1, None], pa.uint64()), str(2**64 - 1)),
        (pa.array(["x", None]).dictionary_encode(), "x"),
        (pa.array([True, None]), "true"),
        (pa.array([[1, 2], None]), "[1,2]"),
        (pa.array(['"quoted"', None]), '"quoted"'),
    ],
)
def test_parquet_id_of_any_type_is_its_text_and_made_where_missing(reader, values, expected):
    documents = reader.read("a.parquet", parquet({"text": ["t", "u"], "id": values})).documents
    assert [document["id"] for document in documents] == [expected, "0-1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1.10, "b": 12345678901234567890123}', '{"a":1.10,"b":12345678901234567890123}'),
        ('{"a":"\\ud800"}', '{"metadata":"{\\"a\\":\\"\\\\ud800\\"}"}'),
        ("{} ", None),
        ("[1]", '{"metadata":"[1]"}'),
    ],
)
def test_parquet_metadata_that_is_json_text_stays_as_exact(reader, text, expected):
    data = parquet({"text": ["t"], "metadata": [text]})
    (document,) = reader.read("a.parquet", data).documents
    assert document["metadata"] == expected


def test_parquet_metadata_that_is_too_deep_to_parse_stays_text(reader):
    text = '{"a":' + "[" * 5000 + "]" * 5000 + "}"
    data = parquet({"text": ["t"], "metadata": [text]})
    assert reader.read("a.parquet", data).metadata == [{"metadata": text}]


def test_parquet_column_name_that_is_no_utf8_breaks_the_file(reader):
    data = parquet({"text": ["t"], "qqqqqq": [1]}, store_schema=False)
    reject = reader.broken("a.parquet", data.replace(b"qqqqqq", b"qqqqq\xec"))
    assert reject.reason is RejectReason.CORRUPT_FILE


def test_parquet_row_group_without_all_its_rows_breaks_the_file(reader, monkeypatch):
    def all_but_one(scan, group, columns, rows):
        for batch in scan.parquet.iter_batches(rows, row_groups=[group], columns=columns):
            yield batch.slice(1)

    monkeypatch.setattr(ParquetScan, "batches", all_but_one)
    reject = reader.broken("a.parquet", parquet({"text": ["t", "u", "v"]}))
    assert (reject.reason, reject.position) == (RejectReason.CORRUPT_FILE, 2)


def test_parquet_store_that_is_not_set_up_is_no_broken_file(reader):
    class Unset(FsspecStore):
        def info(self, *_):
            raise SettingsError("no secret")

    splits = reader.splits(reader.file("a.parquet", parquet({"text": ["t"]})))
    with pytest.raises(SettingsError, match="no secret"):
        reader.read_splits(splits, store=Unset())
