"""Fields inside of nested records, and text in columns of bytes."""

import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.pipelines.readers.json_record import BadRecord, parse_record
from strata.pipelines.readers.jsonl import line_rules, read_lines
from strata.settings import FieldMapping

FIELDS = {"text": "body.text", "id": "meta.key.id", "lang": "body.lang", "date": "meta.date"}
COLUMNS = ("text", "id", "lang", "url", "date", "metadata")
RECORDS = [
    {"body": {"text": "one"}},
    {"body": {"text": "two", "lang": "de", "k": [1, {"text": "in"}]}, "z": 1},
    {"meta": {"key": {"id": "i3"}, "date": "2023-05-01"}, "body": {"lang": "en", "text": "three"}},
    {"body": {"text": "four", "more": {}, "lang": None}, "meta": {"key": {"id": 4, "n": 1}}},
]
METADATA = [
    None,
    {"body": {"k": [1, {"text": "in"}]}, "z": 1},
    {"meta": {"date": "2023-05-01"}},
    {"body": {"more": {}}, "meta": {"key": {"n": 1}}},
]
TYPES = [
    *[pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    *[pa.binary(), pa.large_binary()],
]


def json_lines(records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(columns, **options):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def by_scan(line, fields):
    """The columns that the compiled scan makes of a line; None where it leaves it to the parser."""
    (lines,) = read_lines(line + b"\n", 0, line_rules(fields, 10_000))
    if len(lines.odd):
        return None
    return [getattr(lines.columns, name).to_pylist()[0] for name in COLUMNS]


def by_parser(line, fields):
    record = parse_record(line, fields)
    values = [getattr(record, name) for name in COLUMNS]
    return [*values[:-1], values[-1] and values[-1].decode()]


def test_json_fields_in_nested_records(reader):
    reading = reader.read("a.jsonl", json_lines(RECORDS), fields=FIELDS)
    assert reading.texts == ["one", "two", "three", "four"]
    assert [each["id"] for each in reading.documents][2:] == ["i3", "4"]
    assert [each["lang"] for each in reading.documents] == [None, "de", "en", None]
    assert reading.documents[2]["created"].isoformat() == "2023-05-01T00:00:00+00:00"
    assert reading.metadata == METADATA


@pytest.mark.parametrize("record", [*RECORDS, {"body.text": "top", "body": {"text": "x"}}])
@pytest.mark.parametrize("space", [("", ""), (" ", "\t"), ("\r", " ")])
def test_json_scan_and_parser_agree_on_nested_fields(record, space):
    fields = FieldMapping(**FIELDS)
    line = json.dumps(record, separators=(f"{space[0]},{space[1]}", f":{space[1]}")).encode()
    assert by_scan(line, fields) == by_parser(line, fields)
    assert by_scan(line, fields) is not None


def test_json_scan_and_parser_agree_on_any_nested_records():
    rng = random.Random(7)
    keys = [*["a", "b", "c", "text"] * 4, "a.b", "metadata", "\u00e9", 'q"']
    names = ["a.b", "b.c.text", "metadata.text", "a", "text", "a.a.a.a", "c.metadata.b"]

    def value(depth):
        kind = rng.randrange(6 if depth else 3)
        if kind >= 3:
            return {rng.choice(keys): value(depth - 1) for _ in range(rng.randrange(4))}
        return ["words", 7, [{"a": {}}, ",}"]][kind]

    scanned = 0
    for _ in range(5000):
        fields = FieldMapping(
            **dict(zip(FieldMapping.model_fields, rng.choices(names, k=5), strict=True))
        )
        line = json.dumps({rng.choice(keys): value(4) for _ in range(5)}, ensure_ascii=False)
        found = by_scan(line.encode(), fields)
        if found is not None:
            scanned += 1
            assert found == by_parser(line.encode(), fields), (line, fields)
    assert scanned > 100


def test_json_top_level_name_with_dots_wins(reader):
    data = b'{"body.text":"top","body":{"text":"in"}}\n'
    reading = reader.read("a.jsonl", data, fields={"text": "body.text"})
    assert (reading.texts, reading.metadata) == (["top"], [{"body": {"text": "in"}}])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"body":{"other":"x"}}', "missing_text"),
        (b'{"body":"text"}', "missing_text"),
        (b'{"body":[{"text":"x"}]}', "missing_text"),
        (b'{"body":{"text":null}}', "null_text"),
        (b'{"body":{"text":""}}', "empty_text"),
        (b'{"body":{"text":{"text":"x"}}}', "text_not_string"),
    ],
)
def test_json_nested_text_that_is_no_text_is_a_reject(reader, line, reason):
    data = line + b'\n{"body":{"text":"good"}}\n'
    reading = reader.read("a.jsonl", data, fields={"text": "body.text"})
    assert (reading.texts, reading.refused) == (["good"], [(0, reason)])


@pytest.mark.parametrize(
    "line",
    [
        b'{"body":{"te\\u0078t":"x","k":1}}',
        b'{"body":{"text":"x","text":"y","k":1,"k":2}}',
        b'{"b\\u006fdy":{"text":"x"}}',
        b'{"body":{"text":"nul \\u0000"},"id":"x"}',
    ],
)
def test_json_lines_that_the_scan_leaves_have_their_nested_text(line):
    fields = FieldMapping(text="body.text")
    assert by_scan(line, fields) is None
    assert parse_record(line, fields).text[0] in "xyn"


def test_parser_of_a_path_through_no_object_finds_nothing():
    with pytest.raises(BadRecord):
        parse_record(b'{"body":3}', FieldMapping(text="body.text"))


@pytest.mark.parametrize("kind", TYPES)
def test_parquet_fields_in_structs(reader, kind):
    text = pa.array(["one", "two", None], pa.string()).cast(kind)
    body = pa.StructArray.from_arrays([text, pa.array([1, 2, 3])], names=["text", "k"])
    key = pa.StructArray.from_arrays([pa.array(["i1", "i2", "i3"])], names=["id"])
    date = pa.array(["2023-05-01", None, None])
    meta = pa.StructArray.from_arrays([key, date], names=["key", "date"])
    data = parquet({"body": body, "meta": meta})
    reading = reader.read("a.parquet", data, fields=FIELDS)
    assert [(each["text"], each["id"]) for each in reading.documents] == [
        ("one", "i1"),
        ("two", "i2"),
    ]
    assert reading.refused == [(2, "null_text")]
    assert reading.documents[0]["created"].year == 2023
    assert reading.metadata == [
        {"body": {"k": 1}, "meta": {"date": "2023-05-01"}},
        {"body": {"k": 2}, "meta": {"date": None}},
    ]


def test_parquet_struct_that_has_only_the_text_leaves_no_metadata(reader):
    data = parquet({"a": [{"b": {"text": "x"}}, {"b": None}, None], "n": [1, 2, 3]})
    reading = reader.read("a.parquet", data, fields={"text": "a.b.text"})
    assert (reading.texts, reading.metadata) == (["x"], [{"n": 1}])
    assert reading.refused == [(1, "null_text"), (2, "null_text")]


def test_parquet_top_level_name_with_dots_wins(reader):
    data = parquet({"body.text": ["top"], "body": [{"text": "in"}]})
    reading = reader.read("a.parquet", data, fields={"text": "body.text"})
    assert (reading.texts, reading.metadata) == (["top"], [{"body": {"text": "in"}}])


@pytest.mark.parametrize("name", ["body.nothing", "body.text.deeper", "n.text", "no.text"])
def test_parquet_path_that_leads_nowhere_is_no_text_column(reader, name):
    data = parquet({"body": [{"text": "x"}], "n": [1]})
    reject = reader.broken("a.parquet", data, fields={"text": name})
    assert reject.reason == "no_text_column"


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary())]
)
def test_parquet_bytes_that_are_text_are_read_and_others_rejected(reader, kind):
    values = ["Wörter".encode(), b"\xff\xfe", b"more", b"", None, b"end"]
    data = parquet(
        {
            "text": pa.array(values, pa.binary()).cast(kind),
            "id": pa.array([f"i{n}".encode() for n in range(6)], pa.binary()),
            "note": pa.array([b"a", b"b", b"\xff", b"d", b"e", None], pa.binary()),
            "metadata": pa.array([b'{"m":1}'] * 6, pa.binary()),
        }
    )
    reading = reader.read("a.parquet", data)
    assert [(each["text"], each["id"]) for each in reading.documents] == [
        ("Wörter", "i0"),
        ("more", "i2"),
        ("end", "i5"),
    ]
    assert reading.refused == [(1, "invalid_utf8"), (3, "empty_text"), (4, "null_text")]
    assert reading.metadata == [{"m": 1, "note": "a"}, {"m": 1, "note": "/w=="}, {"m": 1}]


def test_parquet_bytes_beside_annotated_text_stay_base64(reader):
    data = parquet({"text": ["x"], "raw": pa.array([b"text"], pa.binary())})
    assert reader.read("a.parquet", data).metadata == [{"raw": "dGV4dA=="}]
