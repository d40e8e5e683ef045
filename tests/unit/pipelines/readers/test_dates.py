import datetime as dt
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.pipelines.readers.dates import INSTANT, read_instants
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.settings import FieldMapping, InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()
NOON = dt.datetime(2023, 5, 1, 12, 34, 56, tzinfo=dt.UTC)
MIDNIGHT = dt.datetime(2023, 5, 1, tzinfo=dt.UTC)


def instants(*texts):
    found = read_instants(pa.array(texts, pa.large_string()))
    assert found.values.type == INSTANT
    found.values.validate(full=True)
    blank = sum(text is None or all(each <= " " for each in text) for text in texts)
    assert found.unread == found.values.null_count - blank
    return found.values.to_pylist()


def instant(text):
    (found,) = instants(text)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-05-01T12:34:56Z", NOON),
        ("2023-05-01T12:34:56", NOON),
        ("2023-05-01 12:34:56.000", NOON),
        ("2023-05-01 12:34:56 UTC", NOON),
        ("2023-05-01T14:34:56+02:00", NOON),
        ("2023-05-01 07:04:56 -0530", NOON),
        ("2023-05-01T13:34:56+01", NOON),
        ("20230501T123456Z", NOON),
        ("20230501123456", NOON),
        ("  2023-05-01T12:34:56z\n", NOON),
        ("2023-05-01T12:34:56,25", NOON.replace(microsecond=250_000)),
        ("2023-05-01T12:34:56.123456789Z", NOON.replace(microsecond=123_456)),
        ("2023-05-01T12:34", NOON.replace(second=0)),
        ("2023-05-01", MIDNIGHT),
        ("20230501", MIDNIGHT),
        ("2023-05", MIDNIGHT),
        ("2023", MIDNIGHT.replace(month=1)),
        ("Mon, 01 May 2023 12:34:56 GMT", NOON),
        ("mon, 1 MAY 2023 14:34:56 +0200", NOON),
        ("1 May 2023", MIDNIGHT),
        ("1682944496", NOON),
        ("1682944496000", NOON),
        ("1682944496000000", NOON),
        ("1682944496000000000", NOON),
        ("1682944496.25", NOON.replace(microsecond=250_000)),
        ("0", dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
        ("-1.5", dt.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=dt.UTC)),
    ],
)
def test_instant_of_each_way_to_write_it(text, expected):
    assert instant(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("yesterday", "-", "+5", ".", "T", "Z", "1e9", "true", "{}", '["2023-05-01"]', "May 2023"),
        *("2023-02-29", "1900-02-29", "2023-13-01", "2023-00-01", "2023-04-31", "0000-01-01"),
        *("2023-05-01T", "2023-05-01T1", "2023-05-01T24:00", "2023-05-01T12:60", "2023-05-01x"),
        *("2023-05-01T12:34:", "2023-05-01T12:34:5", "2023-05-01T12:34:56.", "2023-05-01T:"),
        *("2023-05-01T12:34:56ZZ", "2023-05-01T12:34:56+", "2023-05-01T12:34:56+24:00"),
        *(
            "2023-05-01t11:34:56-01z",
            "2023-05-01T12:34:56+1",
            "2023-05-01T12:34:56 CEST",
            "2023-5-1",
            "01/05/2023",
        ),
        *("99999999999999999999", "9223372036854775808", "20239901"),
        *("Mon, 32 May 2023", "Mon 01 May 2023", "Mon,", "1 Mai 2023", "1 May 23", "١٢٣٤"),
        *("9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"),
    ],
)
def test_instant_of_anything_else_is_null(text):
    assert instant(text) is None


def test_instants_blank_and_null_are_not_counted_as_unread():
    assert instants("", " \t", None) == [None] * 3
    assert instants() == []
    assert instants(None, None) == [None, None]


def test_instants_of_a_slice_are_those_of_its_rows():
    text = pa.array(["2023", None, "2023-05-01", "never", "1682944496"], pa.large_string())
    found = read_instants(text.slice(2, 3))
    assert (found.values.to_pylist(), found.unread) == ([MIDNIGHT, None, NOON], 1)


def test_instants_of_every_day_equal_those_of_python():
    first = dt.date(1, 1, 1).toordinal()
    last = dt.date(9999, 12, 31).toordinal()
    days = [dt.date.fromordinal(each) for each in [*range(first, last, 97), last]]
    expected = [dt.datetime(d.year, d.month, d.day, tzinfo=dt.UTC) for d in days]
    assert instants(*(day.isoformat() for day in days)) == expected


def test_instants_of_random_times_equal_those_of_python():
    choose = random.Random(5)
    texts, expected = [], []
    for _ in range(3_000):
        zone = dt.timezone(dt.timedelta(minutes=choose.randrange(-1439, 1440)))
        days = dt.timedelta(seconds=choose.randrange(-60_000_000_000, 200_000_000_000))
        found = dt.datetime(1970, 1, 1, tzinfo=zone) + days
        found += dt.timedelta(microseconds=choose.randrange(10**6))
        texts.append(found.isoformat(choose.choice("T "), choose.choice(["auto", "milliseconds"])))
        expected.append(dt.datetime.fromisoformat(texts[-1]))
    assert instants(*texts) == expected


def test_instants_of_broken_texts_read_nothing_outside_of_them():
    choose = random.Random(6)
    whole = ["2023-05-01T12:34:56.25+02:00", "Mon, 01 May 2023 12:34:56 GMT", "-1682944496.25"]
    texts = []
    for _ in range(5_000):
        text = choose.choice(whole)
        cut = text[choose.randrange(len(text)) :] if choose.random() < 0.3 else text
        letters = list(cut[: choose.randrange(len(cut)) + 1])
        letters[choose.randrange(len(letters))] = choose.choice("0123456789-+:.,TZ maé\x00")
        texts.append("".join(letters))
    # Together as alone: what is around a text changes nothing.
    assert instants(*texts) == [instant(text) for text in texts]


def read(path, **settings):
    found = list_inputs(STORE, [InputSettings(path=str(path), **settings)]).files
    splits = plan_splits([file.numbered(0) for file in found], STORE, 10**9)
    batches = [b for s in splits for b in read_split(STORE, s, ReadLimits(10**6, 10**6))]
    rows = [row for batch in batches for row in batch.documents.to_pylist()]
    assert not any(batch.rejects for batch in batches)
    return rows, sum(batch.dates_unread for batch in batches)


def test_json_lines_dates_are_read_and_stay_in_the_metadata(tmp_path):
    values = ["2023-05-01T12:34:56Z", 1682944496, 1682944496000, "n\u0000ever", None, ["x"], ""]
    lines = [json.dumps({"text": "t", "date": value, "z": 1}) for value in values]
    # An escape in a key, and a key that is there twice, go the precise way.
    lines += ['{"text": "t", "d\\u0061te": "2023-05-01"}', '{"text":"t","date":1,"date":"2023"}']
    lines += ['{"text": "t"}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    rows, unread = read(tmp_path)
    assert [row["created"] for row in rows] == [
        *(NOON, NOON, NOON, None, None, None, None),
        *(MIDNIGHT, MIDNIGHT.replace(month=1), None),
    ]
    assert unread == 2
    for value, row in zip(values, rows, strict=False):
        assert json.loads(row["metadata"]) == {"date": value, "z": 1}
    assert rows[-1]["metadata"] is None


def test_json_lines_date_may_be_a_field_that_feeds_another_column(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "t", "id": "2023-05-01", "date": "2024"}')
    ((row,), unread) = read(tmp_path, fields=FieldMapping(date="id"))
    assert (row["id"], row["created"], unread) == ("2023-05-01", MIDNIGHT, 0)
    assert row["metadata"] == '{"date":"2024"}'


@pytest.mark.parametrize(
    "values",
    [
        *(pa.array([NOON], pa.timestamp(unit, "UTC")) for unit in ("s", "ms", "us", "ns")),
        *(pa.array([NOON.replace(tzinfo=None)], pa.timestamp(unit)) for unit in ("s", "us", "ns")),
        pa.array([NOON], pa.timestamp("us", "Asia/Tokyo")),
        *(pa.array([number]) for number in (1682944496, 1682944496000)),
        pa.array([1682944496], pa.float64()),
        *(pa.array(["2023-05-01T12:34:56Z"], kind) for kind in (pa.string(), pa.large_string())),
        pa.array(["2023-05-01T12:34:56Z"]).dictionary_encode(),
    ],
)
def test_parquet_dates_of_any_type_are_read(tmp_path, values):
    dates = pa.chunked_array([values, pa.nulls(1, values.type)])
    pq.write_table(pa.table({"text": ["t", "u"], "date": dates}), tmp_path / "in.parquet")
    rows, unread = read(tmp_path)
    assert [row["created"] for row in rows] == [NOON, None]
    assert unread == 0
    assert list(json.loads(rows[0]["metadata"])) == ["date"]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_parquet_days_are_midnight_in_utc(tmp_path, kind):
    days = pa.array([dt.date(2023, 5, 1), dt.date(1969, 12, 31)], kind)
    pq.write_table(pa.table({"text": ["t", "u"], "date": days}), tmp_path / "in.parquet")
    rows, unread = read(tmp_path)
    assert [row["created"] for row in rows] == [MIDNIGHT, dt.datetime(1969, 12, 31, tzinfo=dt.UTC)]
    assert unread == 0


def test_csv_and_text_dates(tmp_path):
    (tmp_path / "in.csv").write_text("text,date\na,2023-05-01\nb,\nc,soon\n")
    rows, unread = read(tmp_path / "in.csv")
    assert [row["created"] for row in rows] == [MIDNIGHT, None, None]
    assert (unread, rows[0]["metadata"]) == (1, '{"date":"2023-05-01"}')
    (tmp_path / "2023-05-01.txt").write_text("t")
    ((row,), unread) = read(tmp_path / "2023-05-01.txt")
    assert (row["created"], unread) == (None, 0)


def test_listing_another_date_field_changes_the_cause(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "t"}')
    causes = {
        list_inputs(STORE, [InputSettings(path=str(tmp_path), fields=fields)]).files[0].cause
        for fields in (FieldMapping(), FieldMapping(date="crawled"))
    }
    assert len(causes) == 2
