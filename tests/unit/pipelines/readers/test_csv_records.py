"""Where one record of a CSV file ends and the next begins, however bad or long the records are."""

import csv
import io
import random
import tracemalloc

import pytest

from strata.pipelines.readers.csv import CsvLines
from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import ReadLimits

LIMITS = ReadLimits(1000, batch_bytes=1000)
# Longer than any record that a limit of 1000 bytes lets pass.
LONG = 1_500_000
WORDS = b"a line of text, " * 12
LINE = WORDS * 10 + b"newline\n"

LONG_ROWS = {
    "one unquoted line": b"x" * LONG + b",7\n",
    "one quoted line": b'"' + b"x" * LONG + b'",7\n',
    "quotes and delimiters in one line": b'"' + b'x"",y' * (LONG // 5) + b'",7\n',
    "many lines": b'"' + (b"x" * 50 + b"\n") * (LONG // 51) + b'",7\n',
    "many lines like rows": b'"' + (b"x" * 50 + b",y\n") * (LONG // 53) + b'",7\n',
    "many lines with quotes": b'"' + (b'x""y""' * 9 + b"\n") * (LONG // 55) + b'",7\n',
    "two long fields": (b'"' + (WORDS + b"\n") * (LONG // 193) + b'",') * 2 + b"\n",
    "other field": b'a,"' + (WORDS + b"\n") * (LONG // 193) + b'"\n',
}
LONG_TEXTS = {
    "one unquoted line": b"x" * LONG + b"\n",
    "one quoted line": b'"' + b"x" * LONG + b'"\n',
    "many lines": b'"' + (WORDS + b"\n") * (LONG // 193) + b'"\n',
}


@pytest.mark.parametrize("row", LONG_ROWS.values(), ids=LONG_ROWS)
def test_csv_record_beyond_the_limit_costs_that_record_only(reader, row):
    reading = reader.read("a.csv", b"text,n\na,1\n" + row + b"b,2\nc,3\n", LIMITS)
    assert (reading.texts, reading.refused) == (["a", "b", "c"], [(1, "too_long")])
    assert [document["doc_id"] for document in reading.documents] == [0, 2, 3]
    assert reading.rejects[0].excerpt == row.splitlines(keepends=True)[0][:200].decode()


@pytest.mark.parametrize("row", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_csv_text_beyond_the_limit_in_the_only_column_costs_that_record_only(reader, row):
    reading = reader.read("a.csv", b"text\na\n" + row + b"b\nc\n", LIMITS)
    assert (reading.texts, reading.refused) == (["a", "b", "c"], [(1, "too_long")])


@pytest.mark.parametrize("row", [b"x" * 50_000_000, b'"' + LINE * 26_000 + b'"'])
def test_csv_50_mb_record_beyond_the_limit_takes_little_memory(reader, row):
    splits = reader.splits(reader.file("a.csv", b"text,n\na,1\n" + row + b",2\nb,3\n"))
    tracemalloc.start()
    reading = reader.read_splits(splits, LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (reading.texts, reading.refused) == (["a", "b"], [(1, "too_long")])
    assert peak < 64_000_000


def test_csv_50_mb_record_is_a_document_where_the_limit_allows(reader):
    data = b'text,n\n"' + LINE * 26_000 + b'",1\nb,2\n'
    reading = reader.read("a.csv", data, ReadLimits(60_000_000))
    assert [len(each) for each in reading.texts] == [26_000 * len(LINE), 1]


def test_csv_open_quote_at_the_end_costs_its_record(reader):
    reading = reader.read("a.csv", b'text,n\na,1\n"open,2\nb,3\n')
    assert (reading.texts, reading.refused) == (["a"], [(1, "invalid_csv")])
    assert reading.rejects[0].excerpt == '"open,2\n'


def test_csv_quote_that_swallows_the_file_breaks_it(reader):
    reject = reader.broken("a.csv", b'text,n\na,1\n"open,2\n' + b"bbbb,3\n" * 500_000)
    assert (reject.reason, reject.position) == (RejectReason.INVALID_CSV, 1)
    assert reject.excerpt == '"open,2\n'


def test_csv_text_behind_a_closing_quote_costs_its_record(reader):
    reading = reader.read("a.csv", b'text,n\na,1\n"b\nb" x,2\nc "quoted" d,3\n')
    assert (reading.texts, reading.refused) == (["a", 'c "quoted" d'], [(1, "invalid_csv")])


def test_csv_old_macintosh_line_ends_break_the_file(reader):
    assert reader.broken("a.csv", b"text,n\ra,1\rb,2\r").reason is RejectReason.INVALID_CSV


def chunked(data, size):
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 1000])
def test_csv_any_chunks_give_the_same_rows(size):
    rng = random.Random(size)
    rows = [
        ["".join(rng.choices('ab,"\n\r é中', k=rng.randrange(9))) for _ in range(3)]
        for _ in range(300)
    ]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    data = b"\xef\xbb\xbf" + text.getvalue().encode()
    lines = CsvLines(chunked(data, size), ",", 10_000)
    assert list(csv.reader(iter(lines), strict=True)) == rows


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_csv_any_chunks_find_the_same_record_behind_a_long_one(size):
    rng = random.Random(size)
    for _ in range(40):
        fields = ["".join(rng.choices('xxx,"\n', k=rng.randrange(300))) for _ in range(3)]
        text = io.StringIO()
        csv.writer(text).writerows([fields, ["next", "row", "1"]])
        lines = CsvLines(chunked(text.getvalue().encode(), size), ",", 20)
        rows = csv.reader(iter(lines), strict=True)
        assert len(next(rows)) == 3
        assert lines.too_long is (len(text.getvalue()) - len("next,row,1\r\n") > 20)
        lines.start_record()
        assert next(rows) == ["next", "row", "1"]
        assert not lines.too_long
