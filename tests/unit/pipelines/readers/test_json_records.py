"""A JSON line becomes the same document whatever surrounds it, and however large it is."""

import json
import tracemalloc

import pytest

from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import ReadLimits, Split

GOOD = b'{"text":"good"}\n'
# Records that need a closer look: a key in both objects, a key no decoder can have, a bad line.
AROUND = b'{"text":"y","metadata":{"k":1},"k":2}\n{"text":"z","\\u0001":3}\n{"half a line\n'


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (b"", None),
        (b',"metadata":{ }', None),
        (b',"metadata": {"b": [1, "x y"], "a": 1.50}', '{"b":[1,"x y"],"a":1.50}'),
        (b',"metadata":{"a":1},"z":2,"c":null', '{"a":1,"c":null,"z":2}'),
        (b',"z":2,"metadata":{},"a":1', '{"a":1,"z":2}'),
        (b',"metadata":{"a":1,"b":0},"a":2', '{"a":2,"b":0}'),
        (b',"z":[ ],"metadata":["a"]', '{"metadata":["a"],"z":[]}'),
        (b',"z":1,"z":2', '{"z":2}'),
        (b',"metadata":{"a":1,"a":2}', '{"a":1,"a":2}'),
        (b',"metadata":{"\\u0061":"b\\/c"},"d":1', '{"\\u0061":"b\\/c","d":1}'),
        (b',"n":12345678901234567890123,"f":1e400', '{"f":1e400,"n":12345678901234567890123}'),
        (b',"q\\"\\u00e9":"\\ud83d\\ude00","b":1', '{"b":1,"q\\"\u00e9":"\\ud83d\\ude00"}'),
        (b',"":1," ":2', '{"":1," ":2}'),
    ],
)
def test_jsonl_metadata_does_not_depend_on_the_lines_around(reader, members, expected):
    line = b'{"text":"x"%s}\n' % members
    alone = reader.read("a.jsonl", line)
    beside = reader.read("b.jsonl", AROUND + line + AROUND)
    assert [document["metadata"] for document in alone.documents] == [expected]
    assert beside.documents[2]["metadata"] == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text":"x","id":"\\ud800"}', "lone_surrogate"),
        (b'{"text":"x","other":{"y":"\\udfff"}}', "lone_surrogate"),
        (b'{"text":"x","\\ud800":1}', "lone_surrogate"),
        (b'{"text":"x","\xff":1}', "invalid_utf8"),
        (b'{"text":"x","id":"\xff"}', "invalid_utf8"),
        (b'{"text":"overlong \xc0\xaf"}', "invalid_utf8"),
        (b'{"text":"x","n":"a"\0}', "nul_character"),
        (b'\0{"text":"x"}', "nul_character"),
        (b'{"text":"x","deep":' + b"[" * 90_000 + b"]" * 90_000 + b"}", "too_deeply_nested"),
        (b"[" * 90_000, "too_deeply_nested"),
        (b'{"text":"x","metadata":' + b'{"a":' * 300 + b"1" + b"}" * 301, "too_deeply_nested"),
        (b'{"text":{"text":"x"}}', "text_not_string"),
    ],
)
def test_jsonl_bad_line_between_lines_with_other_fields_costs_itself_only(reader, line, reason):
    one = b'{"text":"good","n":1}\n'
    reading = reader.read("a.jsonl", one + line + b"\n" + one)
    assert (reading.texts, reading.metadata) == (["good", "good"], [{"n": 1}, {"n": 1}])
    assert reading.refused == [(len(one), reason)]


def test_jsonl_repeated_text_key_takes_the_last(reader):
    data = b'{"text":"a","text":"b"}\n{"text":null,"text":"c"}\n{"text":"d","text":null}\n'
    reading = reader.read("a.jsonl", data)
    assert (reading.texts, [reason for _, reason in reading.refused]) == (["b", "c"], ["null_text"])


@pytest.mark.parametrize("key", ["x0", "x1", "values", "__class__", "gc", "self", "a.b", "class"])
def test_jsonl_any_key_can_feed_a_column_or_the_metadata(reader, key):
    data = json.dumps({key: "body", "other": 1}).encode() + b"\n"
    reading = reader.read("a.jsonl", data, fields={"text": key})
    assert (reading.texts, reading.metadata) == (["body"], [{"other": 1}])
    data = json.dumps({"text": "t", key: 1}).encode() + b"\n"
    assert reader.read("b.jsonl", data * 2).metadata == [{key: 1}] * 2


def test_jsonl_field_named_metadata_can_be_the_text(reader):
    reading = reader.read("a.jsonl", b'{"metadata":"x","text":"y"}\n', fields={"text": "metadata"})
    assert (reading.texts, reading.metadata) == (["x"], [{"text": "y"}])


def test_jsonl_ever_new_keys_do_not_depend_on_the_blocks(reader):
    records = [{"text": f"t{n}", f"key{n}": n, "same": 1} for n in range(300)]
    data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    whole = reader.read("a.jsonl", data)
    assert whole.metadata == [{f"key{n}": n, "same": 1} for n in range(300)]
    assert reader.read("a.jsonl", data, ReadLimits(10_000, batch_bytes=500)) == whole


@pytest.mark.parametrize("line", [b'{"text":"' + b"x" * 50_000_000 + b'"}', b"[" * 50_000_000])
def test_jsonl_50_mb_line_beyond_the_limit_takes_little_memory(reader, line):
    data = GOOD + line + b"\n" + GOOD
    splits = reader.splits(reader.file("a.jsonl", data))
    tracemalloc.start()
    reading = reader.read_splits(splits, ReadLimits(1_000_000, batch_bytes=1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reading.refused == [(len(GOOD), "too_long")]
    assert [document["doc_id"] for document in reading.documents] == [0, len(data) - len(GOOD)]
    assert peak < 30_000_000


@pytest.mark.parametrize("letter", ["e\u0301", "é", "中", "\U0001f600"])
def test_jsonl_largest_document_is_read_however_it_is_escaped(reader, letter):
    text = letter * (600_000 // len(letter.encode()))
    data = json.dumps({"text": text, "note": "n" * 1000}).encode() + b"\n"
    limits = ReadLimits(len(text.encode()), batch_bytes=1000)
    assert reader.read("a.jsonl", data, limits).texts == [text]


def test_jsonl_small_text_with_large_metadata_is_read(reader):
    data = json.dumps({"text": "x", "note": "n" * 50_000}).encode() + b"\n"
    assert reader.read("a.jsonl", data, ReadLimits(1000, batch_bytes=1000)).texts == ["x"]


def test_jsonl_limit_counts_bytes_of_utf8(reader):
    data = json.dumps({"text": "中" * 10}).encode() + b"\n"
    assert reader.read("a.jsonl", data, ReadLimits(30)).texts == ["中" * 10]
    assert reader.read("a.jsonl", data, ReadLimits(29)).refused == [(0, "too_long")]


@pytest.mark.parametrize("start", [0, 3, len(GOOD), len(GOOD) + 1])
def test_jsonl_file_that_shrank_since_it_was_listed_is_broken(reader, start):
    file = reader.file("a.jsonl", GOOD * 2)
    reader.put("a.jsonl", GOOD[:-1])
    reject = reader.broken_splits([Split(file, start, file.size, 0, 1)])
    assert reject.reason is RejectReason.TRUNCATED_FILE
