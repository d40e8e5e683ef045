import pytest

from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.settings import InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()


def read(path, limit=10_000_000, **settings):
    found = list_inputs(STORE, [InputSettings(path=str(path), **settings)]).files
    documents, rejects = [], []
    for split in plan_splits([file.numbered(n) for n, file in enumerate(found)], STORE, 10**9):
        for batch in read_split(STORE, split, ReadLimits(limit)):
            assert batch.records == batch.documents.num_rows + len(batch.rejects) == 1
            documents += batch.documents.to_pylist()
            rejects += batch.rejects
    return documents, rejects


def read_data(tmp_path, data, name="page.txt", **options):
    (tmp_path / name).write_bytes(data)
    return read(tmp_path / name, **options)


def test_text_folder_gives_one_document_a_file(tmp_path):
    (tmp_path / "b.md").write_text("second\n")
    (tmp_path / "a.txt").write_text("first ü\r\n", newline="")
    documents, rejects = read(tmp_path)
    assert documents == [
        {
            "doc_id": number << 37,
            "id": f"file://{tmp_path}/{name}",
            "text": text,
            "lang": None,
            "url": None,
            "metadata": None,
            "source": tmp_path.name,
            "created": None,
        }
        for number, (name, text) in enumerate([("a.txt", "first ü\r\n"), ("b.md", "second\n")])
    ]
    assert rejects == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"caf\xe9", RejectReason.INVALID_UTF8),
        (b"\xed\xa0\x80", RejectReason.INVALID_UTF8),
        (b"cut in a letter \xc3", RejectReason.INVALID_UTF8),
        (b"nul \0 inside", RejectReason.NUL_CHARACTER),
        (b"\xef\xbb\xbf", RejectReason.EMPTY_TEXT),
        (b"x" * 1001, RejectReason.TOO_LONG),
    ],
)
def test_text_that_cannot_be_a_document_becomes_a_reject(tmp_path, data, reason):
    documents, rejects = read_data(tmp_path, data, limit=1000)
    assert documents == []
    assert [(reject.reason, reject.position) for reject in rejects] == [(reason, 0)]


def test_text_of_the_largest_size_is_read(tmp_path):
    assert read_data(tmp_path, b"x" * 1000, limit=1000)[0][0]["text"] == "x" * 1000


def test_text_empty_file_gives_nothing(tmp_path):
    assert read_data(tmp_path, b"") == ([], [])


def test_text_byte_order_mark_is_dropped(tmp_path):
    assert read_data(tmp_path, b"\xef\xbb\xbfpage")[0][0]["text"] == "page"


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("latin-1", b"caf\xe9"),
        ("utf-16", "café".encode("utf-16")),
        ("utf-16", b"\xfe\xff" + "café".encode("utf-16-be")),
    ],
)
def test_text_in_other_encodings_is_read(tmp_path, encoding, data):
    assert read_data(tmp_path, data, encoding=encoding)[0][0]["text"] == "café"


def test_text_half_a_utf16_letter_becomes_a_reject(tmp_path):
    _, rejects = read_data(tmp_path, "café".encode("utf-16")[:-1], encoding="utf-16")
    assert [reject.reason for reject in rejects] == [RejectReason.INVALID_UTF8]


def test_text_format_takes_files_of_any_name(tmp_path):
    documents, _ = read_data(tmp_path, b'{"a": 1}', name="data.jsonl", format="text")
    assert documents[0]["text"] == '{"a": 1}'
    assert read_data(tmp_path, b"all", name="README", format="text")[0][0]["text"] == "all"


def test_text_limit_counts_bytes_of_utf8_and_not_of_the_file(tmp_path):
    utf16 = ("x" * 1000).encode("utf-16")
    assert read_data(tmp_path, utf16, limit=1000, encoding="utf-16")[0][0]["text"] == "x" * 1000
    assert read_data(tmp_path, b"\xef\xbb\xbf" + b"x" * 1000, limit=1000)[0]
    documents, rejects = read_data(tmp_path, b"\xe9" * 501, limit=1000, encoding="latin-1")
    assert (documents, [reject.reason for reject in rejects]) == ([], [RejectReason.TOO_LONG])
