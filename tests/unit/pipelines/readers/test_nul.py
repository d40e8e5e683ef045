"""NUL characters in texts: removed and counted, or rejected."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strata.pipelines.readers.json_record import parse_record
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.split import ReadLimits
from strata.settings import FieldMapping, NulRule

REMOVE, REJECT = ReadLimits(1000), ReadLimits(1000, nul=NulRule.REJECT)


def parquet(texts):
    out = io.BytesIO()
    pq.write_table(pa.table({"text": texts, "n": list(range(len(texts)))}), out)
    return out.getvalue()


FILES = {
    "a.jsonl": b'{"text":"one","n":0}\n{"text":"t\\u0000w\\u0000o","n":1}\n{"text":"end","n":2}\n',
    "raw.jsonl": b'{"text":"one","n":0}\n{"text":"t\0wo\0","n":1}\n{"text":"end","n":2}\n',
    "a.parquet": parquet(["one", "\0two", "end"]),
    "a.csv": b"text,n\none,0\ntwo\0,1\nend,2\n",
}


@pytest.mark.parametrize("name", FILES)
def test_nul_in_a_text_is_removed_and_counted(reader, name):
    splits = reader.splits(reader.file(name, FILES[name]))
    batches = [batch for split in splits for batch in read_split(reader.store, split, REMOVE)]
    assert sum(batch.nul_removed for batch in batches) == 1
    reading = reader.read_splits(splits, REMOVE)
    assert (reading.texts, reading.refused) == (["one", "two", "end"], [])
    assert [int(each["n"]) for each in reading.metadata] == [0, 1, 2]


@pytest.mark.parametrize("name", FILES)
def test_nul_in_a_text_is_a_reject_where_the_settings_say_so(reader, name):
    splits = reader.splits(reader.file(name, FILES[name]))
    batches = [batch for split in splits for batch in read_split(reader.store, split, REJECT)]
    assert sum(batch.nul_removed for batch in batches) == 0
    reading = reader.read_splits(splits, REJECT)
    assert reading.texts == ["one", "end"]
    assert [reason for _, reason in reading.refused] == ["nul_character"]
    assert "\0" not in reading.rejects[0].excerpt


def test_nul_byte_outside_of_strings_is_a_reject(reader):
    data = b'\0{"text":"a"}\n{"text":"b"}\0\n{"text":"c"\0}\n{"text":"d"}\n'
    reading = reader.read("a.jsonl", data)
    assert (reading.texts, {reason for _, reason in reading.refused}) == (["d"], {"nul_character"})


def test_nul_byte_in_a_text_file_is_a_reject(reader):
    assert reader.read("a.txt", b"a\0b").refused == [(0, "nul_character")]


def test_text_of_nothing_but_nul_is_empty_and_not_counted(reader):
    (split,) = reader.splits(reader.file("a.jsonl", b'{"text":"\\u0000"}\n{"text":"a"}\n'))
    (batch,) = read_split(reader.store, split, REMOVE)
    assert batch.nul_removed == 0
    assert [str(reject.reason) for reject in batch.rejects] == ["empty_text"]


def test_removed_nul_does_not_count_for_the_length(reader):
    text = b"x" * 1000 + b"\\u0000" * 9
    assert reader.read("a.jsonl", b'{"text":"%s"}\n' % text, REMOVE).texts == ["x" * 1000]


def test_nul_elsewhere_in_a_record_stays(reader):
    data = b'{"text":"a","n":"\\u0000"}\n{"text":"b","n":"\0"}\n{"text":"c","k\\\\\0":"\\\\\0"}\n'
    assert reader.read("a.jsonl", data).metadata == [{"n": "\0"}, {"n": "\0"}, {"k\\\0": "\\\0"}]


@pytest.mark.parametrize("rule", NulRule)
def test_line_without_nul_is_the_same_under_both_rules(rule):
    record = parse_record(b'{"text":"a","k":"\\\\u0000"}', FieldMapping(), rule)
    assert (record.text, record.metadata) == ("a", b'{"k":"\\\\u0000"}')
