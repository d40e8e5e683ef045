import json

import pytest

from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.rejects import BrokenFile, RejectReason
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.settings import FieldMapping, InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()


def read(path, limit=1_000_000, batch_bytes=1_000_000, **settings):
    found = list_inputs(STORE, [InputSettings(path=str(path), **settings)]).files
    documents, rejects = [], []
    for split in plan_splits([file.numbered(4) for file in found], STORE, 10**9):
        for batch in read_split(STORE, split, ReadLimits(limit, batch_bytes)):
            assert batch.records == batch.documents.num_rows + len(batch.rejects)
            batch.documents.validate(full=True)
            documents += batch.documents.to_pylist()
            rejects += batch.rejects
    return documents, rejects


def read_data(tmp_path, data, name="rows.csv", **options):
    path = tmp_path / name
    path.write_bytes(data)
    return read(path, **options)


def broken(tmp_path, data):
    with pytest.raises(BrokenFile) as caught:
        read_data(tmp_path, data)
    return caught.value.reject


def positions(documents):
    return [doc["doc_id"] - (4 << 37) for doc in documents]


def test_csv_quotes_newlines_and_delimiters_in_fields_are_text(tmp_path):
    data = b'id,text,x\n1,"a ""quoted"", text\nover two\r\nor three lines",9\n2,plain,\n'
    documents, rejects = read_data(tmp_path, data)
    assert [doc["text"] for doc in documents] == [
        'a "quoted", text\nover two\r\nor three lines',
        "plain",
    ]
    assert [doc["id"] for doc in documents] == ["1", "2"]
    assert [doc["metadata"] for doc in documents] == ['{"x":"9"}', '{"x":""}']
    assert positions(documents) == [0, 1]
    assert rejects == []


def test_csv_byte_order_mark_crlf_and_blank_lines_are_no_content(tmp_path):
    data = b"\xef\xbb\xbftext,lang\r\n\r\none,en\r\n\r\ntwo,\r\n"
    documents, rejects = read_data(tmp_path, data)
    assert [(d["text"], d["lang"], d["id"]) for d in documents] == [
        ("one", "en", "4-0"),
        ("two", None, "4-1"),
    ]
    assert rejects == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"a,b,c,d", RejectReason.RAGGED_ROW),
        (b"a", RejectReason.RAGGED_ROW),
        (b"caf\xe9,b,c", RejectReason.INVALID_UTF8),
        (b"a,b,\xed\xa0\x80", RejectReason.INVALID_UTF8),
        (b"\0,b,c", RejectReason.EMPTY_TEXT),
        (b",b,c", RejectReason.EMPTY_TEXT),
        (b'"a"b,b,c', RejectReason.INVALID_CSV),
        (b"x" * 3000 + b",b,c", RejectReason.TOO_LONG),
        ("ü".encode() * 800 + b",b,c", RejectReason.TOO_LONG),
    ],
)
def test_csv_bad_row_becomes_a_reject_alone(tmp_path, bad, reason):
    data = b"text,id,x\ngood,1,2\n" + bad + b"\ngood,3,4\n"
    documents, rejects = read_data(tmp_path, data, limit=1000)
    assert [doc["id"] for doc in documents] == ["1", "3"]
    assert positions(documents) == [0, 2]
    assert [(reject.position, reject.reason) for reject in rejects] == [(1, reason)]
    rejects[0].excerpt.encode()


def test_csv_quote_that_never_closes_becomes_a_reject(tmp_path):
    documents, rejects = read_data(tmp_path, b'text,x\ngood,1\n"never closed,2\nmore,3\n')
    assert [doc["text"] for doc in documents] == ["good"]
    assert [reject.reason for reject in rejects] == [RejectReason.INVALID_CSV]


def test_csv_line_without_end_is_cut_off_and_rejected(tmp_path):
    data = b"text,x\ngood,1\n" + b"y" * 20_000_000
    documents, rejects = read_data(tmp_path, data, limit=100_000)
    assert [doc["text"] for doc in documents] == ["good"]
    assert {reject.reason for reject in rejects} <= {RejectReason.TOO_LONG, RejectReason.RAGGED_ROW}
    assert rejects


def test_csv_long_field_of_many_lines_is_read_in_full(tmp_path):
    text = "a line of text\n" * 600_000
    data = f'text,x\n"{text}",1\nb,2\n'.encode()
    documents, rejects = read_data(tmp_path, data, limit=20_000_000)
    assert [doc["text"] for doc in documents] == [text, "b"]
    assert rejects == []


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"text,id\n", b"\xef\xbb\xbf"])
def test_csv_without_rows_gives_nothing(tmp_path, data):
    assert read_data(tmp_path, data) == ([], [])


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"body,id", RejectReason.NO_TEXT_COLUMN),
        (b"text,caf\xe9", RejectReason.INVALID_UTF8),
        (b'text,"a"b', RejectReason.INVALID_CSV),
        (b"text,x,x", RejectReason.INVALID_CSV),
    ],
)
def test_csv_with_a_header_that_cannot_be_used_is_broken(tmp_path, header, reason):
    reject = broken(tmp_path, header + b"\na,b\n")
    assert (reject.reason, reject.position) == (reason, 0)
    assert reject.excerpt


def test_tsv_and_other_delimiters_are_read(tmp_path):
    documents, _ = read_data(tmp_path, b"id\ttext\n1\ta, b\n", name="rows.tsv")
    assert (documents[0]["id"], documents[0]["text"]) == ("1", "a, b")
    documents, _ = read_data(tmp_path, b"id;text\n1;a, b\n", delimiter=";")
    assert (documents[0]["id"], documents[0]["text"]) == ("1", "a, b")


def test_csv_fields_are_mapped(tmp_path):
    fields = FieldMapping(text="body", id="link", url="link")
    (doc,), _ = read_data(tmp_path, b"link,body,id\nu,t,i\n", fields=fields)
    assert (doc["text"], doc["id"], doc["url"]) == ("t", "u", "u")
    assert json.loads(doc["metadata"]) == {"id": "i"}


@pytest.mark.parametrize("batch_bytes", [1, 30, 1000])
def test_csv_batches_of_any_size_give_the_same_documents(tmp_path, batch_bytes):
    rows = [f'{n},"text\n{n * "x"}"' if n % 5 else f"{n}" for n in range(60)]
    data = ("id,text\n" + "\n".join(rows)).encode()
    whole = read_data(tmp_path, data)
    assert [len(part) for part in whole] == [48, 12]
    assert read_data(tmp_path, data, batch_bytes=batch_bytes) == whole
