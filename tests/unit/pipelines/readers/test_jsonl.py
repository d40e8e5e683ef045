import json
import random

import pytest

from strata.errors import InputError
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.settings import FieldMapping, InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()


def read(path, ordinal=3, limit=10_000_000, batch_bytes=8_000_000, split_bytes=10**9, **settings):
    """Documents and rejects of a file, with records counted apart."""
    listing = list_inputs(STORE, [InputSettings(path=str(path), **settings)])
    files = [file.numbered(ordinal) for file in listing.files]
    documents, rejects = [], []
    for split in plan_splits(files, STORE, split_bytes):
        for batch in read_split(STORE, split, ReadLimits(limit, batch_bytes)):
            assert batch.records == batch.documents.num_rows + len(batch.rejects)
            batch.documents.validate(full=True)
            documents += batch.documents.to_pylist()
            rejects += batch.rejects
    return documents, rejects


def written(tmp_path, data):
    path = tmp_path / "part.jsonl"
    path.write_bytes(data)
    return path


def read_data(tmp_path, data, **options):
    return read(written(tmp_path, data), **options)


def line(**record):
    return json.dumps(record).encode() + b"\n"


GOOD = line(text="good")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"text": "half', RejectReason.INVALID_JSON),
        (b'{"text": "a"', RejectReason.INVALID_JSON),
        (b'"text": "tail of a line"}', RejectReason.INVALID_JSON),
        (b"not json", RejectReason.INVALID_JSON),
        (b'{"text": "a"} {"text": "b"}', RejectReason.INVALID_JSON),
        (b'{"text": "a"},', RejectReason.INVALID_JSON),
        (b'{"text": "tab\there"}', RejectReason.INVALID_JSON),
        (b'{"text": "a", "x": NaN}', RejectReason.INVALID_JSON),
        (b'{"text": "a", "x": "\\q"}', RejectReason.INVALID_JSON),
        (b"[1]", RejectReason.NOT_AN_OBJECT),
        (b'"text"', RejectReason.NOT_AN_OBJECT),
        (b"null", RejectReason.NOT_AN_OBJECT),
        (b'{"text": "\xff"}', RejectReason.INVALID_UTF8),
        (b'{"text": "a", "x": "\xff"}', RejectReason.INVALID_UTF8),
        (b'{"text": "a", "\xff": 1}', RejectReason.INVALID_UTF8),
        (b'{"text": "\xed\xa0\x80"}', RejectReason.INVALID_UTF8),
        (b'{"text": "a", "id": "\xc3"}', RejectReason.INVALID_UTF8),
        (b'{"text": "\\ud800"}', RejectReason.LONE_SURROGATE),
        (b'{"text": "\\udc00 low"}', RejectReason.LONE_SURROGATE),
        (b'{"text": "\\ud83d and no more"}', RejectReason.LONE_SURROGATE),
        (b'{"text": "a", "x": "\\ud800"}', RejectReason.LONE_SURROGATE),
        (b'{"text": "nul"\0}', RejectReason.NUL_CHARACTER),
        (b'{"text": "nul \\\0"}', RejectReason.NUL_CHARACTER),
        (b"\0\0\0\0", RejectReason.NUL_CHARACTER),
        (b'{"id": "a"}', RejectReason.MISSING_TEXT),
        (b"{}", RejectReason.MISSING_TEXT),
        (b'{"text": null}', RejectReason.NULL_TEXT),
        (b'{"text": 5}', RejectReason.TEXT_NOT_STRING),
        (b'{"text": ["a"]}', RejectReason.TEXT_NOT_STRING),
        (b'{"text": {"a": 1}}', RejectReason.TEXT_NOT_STRING),
        (b'{"text": true}', RejectReason.TEXT_NOT_STRING),
        (b'{"text": ""}', RejectReason.EMPTY_TEXT),
        (b'{"text": "a", "x": ' + b"[" * 300 + b"]" * 300 + b"}", RejectReason.TOO_DEEPLY_NESTED),
        (
            b'{"text": "a", "x": ' + b"[" * 99999 + b"]" * 99999 + b"}",
            RejectReason.TOO_DEEPLY_NESTED,
        ),
        (b'{"text": "a", "x": ' + b'{"a":' * 9999, RejectReason.TOO_DEEPLY_NESTED),
    ],
)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_jsonl_bad_line_becomes_a_reject_alone(tmp_path, bad, reason, newline):
    documents, rejects = read_data(tmp_path, newline.join([GOOD[:-1], bad, GOOD[:-1], b""]))
    after = len(GOOD) + len(bad) + 2 * len(newline) - 1
    assert [doc["text"] for doc in documents] == ["good", "good"]
    assert [doc["doc_id"] for doc in documents] == [3 << 37, (3 << 37) + after]
    (reject,) = rejects
    assert (reject.reason, reject.position) == (reason, len(GOOD) + len(newline) - 1)
    assert (reject.ordinal, reject.uri[-10:]) == (3, "part.jsonl")
    assert reject.source == tmp_path.name
    assert len(reject.excerpt) <= 200
    reject.excerpt.encode()
    assert "\0" not in reject.excerpt


def test_jsonl_bad_last_line_without_newline_becomes_a_reject(tmp_path):
    documents, rejects = read_data(tmp_path, GOOD + b'{"text": "cut off he')
    assert [doc["text"] for doc in documents] == ["good"]
    assert [reject.reason for reject in rejects] == [RejectReason.INVALID_JSON]


def test_jsonl_only_empty_and_retracted_texts_are_harmless():
    harmless = {RejectReason.EMPTY_TEXT, RejectReason.RETRACTED}
    assert {reason for reason in RejectReason if reason.harmless} == harmless


def test_jsonl_two_records_on_one_line_and_one_on_two_lines_are_not_confused(tmp_path):
    # As many records as lines, but not one a line.
    data = b'{"text": "a"} {"text": "b"}\n{"text":\n"c"}\n' + GOOD
    documents, rejects = read_data(tmp_path, data)
    assert [doc["text"] for doc in documents] == ["good"]
    assert [reject.reason for reject in rejects] == [RejectReason.INVALID_JSON] * 3


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\r\n\r\n", b"  \n\t\n", b"\xef\xbb\xbf", b"\n\n\n   "]
)
def test_jsonl_without_records_gives_nothing(tmp_path, data):
    assert read_data(tmp_path, data) == ([], [])


def test_jsonl_blank_lines_are_no_records(tmp_path):
    documents, rejects = read_data(tmp_path, b"\n\n" + GOOD + b" \r\n\n" + GOOD[:-1])
    assert [doc["doc_id"] & (2**37 - 1) for doc in documents] == [2, 2 + len(GOOD) + 4]
    assert rejects == []


def test_jsonl_byte_order_mark_is_dropped_and_crlf_accepted(tmp_path):
    data = b"\xef\xbb\xbf" + (GOOD + line(text="two\r\n", a=1)).replace(b"\n", b"\r\n")
    documents, rejects = read_data(tmp_path, data)
    assert [doc["text"] for doc in documents] == ["good", "two\r\n"]
    assert documents[0]["doc_id"] == 3 << 37
    assert documents[1]["doc_id"] == (3 << 37) + 3 + len(GOOD) + 1
    assert documents[1]["metadata"] == '{"a":1}'
    assert rejects == []


def test_jsonl_fifty_megabyte_line_is_read(tmp_path):
    text = "größer als alles\n" * 2_900_000
    data = GOOD + json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" + GOOD
    assert len(data) > 50_000_000
    documents, rejects = read_data(tmp_path, data, limit=60_000_000, batch_bytes=1_000_000)
    assert [doc["text"] == text for doc in documents] == [False, True, False]
    assert rejects == []


def test_jsonl_line_beyond_the_limit_is_passed_over(tmp_path):
    long = b'{"text": "' + b"x" * 30_000_000 + b'"}\n'
    documents, rejects = read_data(
        tmp_path, GOOD + long + GOOD, limit=1_000_000, batch_bytes=500_000
    )
    assert [doc["text"] for doc in documents] == ["good", "good"]
    assert documents[1]["doc_id"] == (3 << 37) + len(GOOD) + len(long)
    assert [(r.reason, r.position) for r in rejects] == [(RejectReason.TOO_LONG, len(GOOD))]
    assert rejects[0].excerpt == long[:200].decode()


@pytest.mark.parametrize("batch_bytes", [10, 50, 1000, 100_000])
def test_jsonl_limits_hold_alike_for_every_batch_size(tmp_path, batch_bytes):
    sizes = [90, 100, 101, 250, 40, 600, 3000, 100, 1]
    data = b"".join(line(text="x" * size, a="y" * (size % 7)) for size in sizes)
    expected = read_data(tmp_path, data, limit=100)
    assert [len(doc["text"]) for doc in expected[0]] == [90, 100, 40, 100, 1]
    assert {reject.reason for reject in expected[1]} == {RejectReason.TOO_LONG}
    assert read_data(tmp_path, data, limit=100, batch_bytes=batch_bytes) == expected


def test_jsonl_fields_are_mapped_and_the_rest_is_metadata(tmp_path):
    record = {"body": "t", "key": 7, "link": "u", "lang": "en", "z": [1, {"b": " "}], "id": "x"}
    fields = FieldMapping(text="body", id="key", url="link")
    (doc,), _ = read_data(tmp_path, line(**record), fields=fields, source="web")
    assert doc == {
        "doc_id": 3 << 37,
        "id": "7",
        "text": "t",
        "lang": "en",
        "url": "u",
        "metadata": '{"id":"x","z":[1,{"b":" "}]}',
        "source": "web",
        "created": None,
    }


@pytest.mark.parametrize("name", ["text", "id", "url", "lang"])
def test_jsonl_one_field_may_feed_two_columns(tmp_path, name):
    fields = FieldMapping(**{name: "both", "id": "both"})
    if name == "text":
        fields = FieldMapping(text="both", id="both")
    (doc,), _ = read_data(tmp_path, line(both="value", text="t"), fields=fields)
    assert doc[name] == doc["id"] == "value"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', "a"),
        ("12", "12"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1.50", "1.50"),
        ("true", "true"),
        ('["a"]', '["a"]'),
        ('"\\u00fc\\n\\ud83d\\ude00"', "ü\n😀"),
        ("null", None),
    ],
)
def test_jsonl_names_of_other_types_become_their_json_text(tmp_path, value, expected):
    data = f'{{"text": "t", "id": {value}, "lang": {value}, "url": {value}}}\n'.encode()
    (doc,), _ = read_data(tmp_path, data)
    assert (doc["lang"], doc["url"]) == (expected, expected)
    assert doc["id"] == (expected or "3-0")


def test_jsonl_missing_id_is_made_from_ordinal_and_position(tmp_path):
    middle = line(text="b", id="own")
    documents, _ = read_data(tmp_path, GOOD + middle + GOOD)
    after = len(GOOD + middle)
    assert [doc["id"] for doc in documents] == ["3-0", "own", f"3-{after}"]


def test_jsonl_duplicate_ids_are_kept(tmp_path):
    documents, _ = read_data(tmp_path, line(text="a", id="x") + line(text="b", id="x"))
    assert [doc["id"] for doc in documents] == ["x", "x"]
    assert len({doc["doc_id"] for doc in documents}) == 2


@pytest.mark.parametrize(
    ("record", "metadata"),
    [
        ('{"text":"t","metadata":{"a": 1, "b": []},"c":2}', '{"a":1,"b":[],"c":2}'),
        ('{"text":"t","metadata": { },"c":2}', '{"c":2}'),
        ('{"text":"t","metadata":{}}', None),
        ('{"text":"t","metadata":null}', None),
        ('{"text":"t","metadata":"m","c":2}', '{"metadata":"m","c":2}'),
        ('{"text":"t","metadata":[1],"c":null}', '{"metadata":[1],"c":null}'),
        ('{"text":"t","metadata":{"c":1},"c":2}', '{"c":2}'),
        ('{"text":"t","z":1,"b":"c d","a":"\\" \\\\"}', '{"a":"\\" \\\\","b":"c d","z":1}'),
        ('{"text":"t","q\\"k":1,"é":"ü","":0}', '{"":0,"q\\"k":1,"é":"ü"}'),
        ('{"text":"t","a\\nb":1}', '{"a\\nb":1}'),
    ],
)
def test_jsonl_metadata_is_one_compact_object(tmp_path, record, metadata):
    documents, rejects = read_data(tmp_path, GOOD + record.encode() + b"\n" + GOOD)
    assert [doc["metadata"] for doc in documents] == [None, metadata, None]
    assert rejects == []


def test_jsonl_ever_new_keys_are_kept(tmp_path):
    rows = [{"text": str(n), f"key{n}": n, "same": [n]} for n in range(300)]
    documents, rejects = read_data(tmp_path, b"".join(line(**row) for row in rows))
    assert rejects == []
    got = [json.loads(doc["metadata"]) for doc in documents]
    assert got == [{f"key{n}": n, "same": [n]} for n in range(300)]


def test_jsonl_random_records_equal_a_naive_reading(tmp_path):
    rng = random.Random(5)
    alphabet = 'ab "\\/\n\r\t\b\fü中文😀\x7f\u2028 \x01é'
    rows = []
    for number in range(600):
        row = {"text": "".join(rng.choices(alphabet, k=rng.randint(1, 90)))}
        if rng.random() < 0.5:
            row["id"] = rng.choice(["x", "ü", '"', number, -1.5])
        for key in rng.sample(["a", "b", "metadata", "c\\d", "ключ"], rng.randint(0, 4)):
            row[key] = rng.choice([None, 1, 's \\ " {', [], {}, {"k": [{"v": "} ]"}], "a": 0}])
        rows.append(row)
    lines = [json.dumps(row, ensure_ascii=rng.random() < 0.5, indent=None).encode() for row in rows]
    documents, rejects = read_data(tmp_path, b"\n".join(lines), batch_bytes=3000)
    assert rejects == []
    assert [doc["text"] for doc in documents] == [row["text"] for row in rows]
    for doc, row in zip(documents, rows, strict=True):
        position = doc["doc_id"] & (2**37 - 1)
        name = row.get("id", f"3-{position}")
        assert doc["id"] == (name if isinstance(name, str) else json.dumps(name))
        assert json.loads(doc["metadata"] or "{}") == naive_metadata(row)


def naive_metadata(row):
    rest = {key: value for key, value in row.items() if key not in ("text", "id")}
    own = rest.pop("metadata", None)
    if isinstance(own, dict):
        return own | rest
    return rest if own is None else {"metadata": own} | rest


def test_jsonl_document_ids_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="input file number"):
        read_data(tmp_path, GOOD, ordinal=2**26)
