"""Files that are not what their names say: other compressions, and other things than data."""

import bz2
import gzip
import io
import json
import lzma
import tarfile

import pytest
import zstandard

from strata.pipelines.readers.opening import LineShape, foreign_content, line_shape
from strata.pipelines.readers.rejects import RejectReason
from strata.pipelines.readers.split import ReadLimits
from strata.settings import InputFormat

PACK = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
LINES = b"".join(b'{"text": "line %d"}\n' % number for number in range(4))
TEXTS = [f"line {number}" for number in range(4)]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n"
PAGE = b"\n<!DOCTYPE HTML><html><body>404 Not Found</body></html>"
FAULT = b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>'


def tar(data, form=tarfile.GNU_FORMAT, name="a.jsonl"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("a.jsonl", {}),
        ("a.JSONL.ZSTD", {}),
        ("a.jsonl.gz", {}),
        ("a.dump", {"format": "jsonl"}),
        ("a.Zstd", {"format": "jsonl"}),
        ("a.bz2", {"format": "jsonl"}),
    ],
)
def test_compression_follows_from_the_first_bytes(reader, packed, name, section):
    assert reader.read(name, PACK[packed](LINES), **section).texts == TEXTS


@pytest.mark.parametrize("packed", PACK)
def test_compressed_text_and_csv_are_told_by_their_bytes(reader, packed):
    assert reader.read("a.txt", PACK[packed](b"some words")).texts == ["some words"]
    assert reader.read("a.csv.gz", PACK[packed](b"text\na\nb\n")).texts == ["a", "b"]


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2", "xz"])
def test_plain_file_with_the_suffix_of_a_compression_is_read(reader, suffix):
    assert reader.read(f"a.jsonl.{suffix}", b"\xef\xbb\xbf\n " + LINES).texts == TEXTS
    assert reader.read(f"a.csv.{suffix}", b"text\na\n").texts == ["a"]
    assert reader.read(f"a.txt.{suffix}", "Wörter".encode()).texts == ["Wörter"]


@pytest.mark.parametrize("packed", PACK)
def test_file_that_would_be_cut_is_read_whole_when_its_bytes_are_compressed(reader, packed):
    file = reader.file("a.jsonl", PACK[packed](LINES * 50))
    splits = reader.splits(file, file.size // 3)
    assert len(splits) == 1
    assert reader.read_splits(splits).texts == TEXTS * 50


def test_file_that_is_cut_begins_with_its_own_bytes(reader):
    file = reader.file("a.jsonl", LINES * 50)
    splits = reader.splits(file, file.size // 3)
    assert len(splits) == 3
    assert reader.read_splits(splits).texts == TEXTS * 50


def test_zstd_behind_a_skippable_frame_is_zstd(reader):
    data = b"\x50\x2a\x4d\x18\x02\x00\x00\x00ab" + PACK["zstd"](LINES)
    assert reader.read("a.jsonl", data).texts == TEXTS


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.parquet", POINTER, "Git LFS pointer"),
        ("a.jsonl", POINTER, "git lfs pull"),
        ("a.jsonl.zst", POINTER, "not zstd"),
        ("a.txt", POINTER, "Git LFS pointer"),
        ("a.csv", b"/annex/objects/MD5-s3--00", "git annex get"),
        ("a.jsonl.gz", PAGE, "an HTML page, such as an error page in place of the file, not gzip"),
        ("a.jsonl", PAGE, "an HTML page"),
        ("a.parquet", PAGE, "an HTML page"),
        ("a.csv", PAGE, "an HTML page"),
        ("a.jsonl", FAULT, "XML"),
        ("a.jsonl", tar(LINES), "a tar archive"),
        ("a.jsonl.gz", gzip.compress(tar(LINES), mtime=0), "a tar archive"),
        ("a.txt", tar(LINES, tarfile.USTAR_FORMAT), "unpack it"),
        ("a.csv.gz", tar(LINES, tarfile.PAX_FORMAT, "é" * 90), "a tar archive, not gzip"),
        ("a.jsonl", b"PK\x03\x04 and more", "a ZIP archive"),
        ("a.jsonl", b"PAR1\x15 and more", 'format = "parquet"'),
        ("a.jsonl", b"\x04\x22\x4d\x18", "lz4"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(LINES, mtime=0), mtime=0), "compressed twice"),
        ("a.jsonl", LINES.decode().encode("utf-16"), "UTF-16"),
        ("a.parquet", gzip.compress(b"PAR1", mtime=0), "decompress it"),
        ("a.parquet", LINES, 'format = "jsonl"'),
        ("a.parquet", tar(LINES), "a tar archive"),
    ],
)
def test_file_that_is_something_else_is_told_as_what_it_is(reader, name, data, words):
    reject = reader.broken(name, data)
    assert (reject.reason, reject.position) == (RejectReason.WRONG_CONTENT, 0)
    assert words in reject.excerpt


def test_no_document_comes_out_of_the_middle_of_an_archive(reader):
    file = reader.file("a.jsonl", tar(LINES * 200))
    splits = reader.splits(file, file.size // 4)
    assert len(splits) == 4
    assert "tar" in reader.broken_splits(splits[:1]).excerpt


def test_tar_archive_without_a_magic_number_is_told_by_its_checksum():
    header = bytearray(tar(LINES)[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert "tar" in (foreign_content(bytes(header), InputFormat.TEXT) or "")
    header[0] ^= 1
    assert foreign_content(bytes(header), InputFormat.TEXT) is None


@pytest.mark.parametrize("data", [PAGE, FAULT, b"%PDF-1.4 as text", b"ORCHARD", b"WARC/1.0"])
def test_text_file_may_begin_with_anything_that_is_text(reader, data):
    assert reader.read("a.txt", data).texts == [data.decode()]


def test_csv_header_may_begin_with_letters_of_a_binary_format(reader):
    assert reader.read("a.csv", b"ORCID,text\n1,a\n").texts == ["a"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (json.dumps([{"text": "a"}, {"text": "b"}]).encode(), "one JSON array"),
        (json.dumps([{"text": "a"}, {"text": "b"}], indent=1).encode(), "one JSON array"),
        (b'[{"text": "a"},\n{"text": "b"},\n{"text": "c"}\n]\n', "jq -c '.[]'"),
        (b'[\n\n{"text": "a"}\n,{"text": "b"}]', "one JSON array"),
        (json.dumps([{"text": "a" * 100_000}] * 3).encode(), "one JSON array"),
        (json.dumps({"text": "a", "id": 1}, indent=2).encode() * 2, "jq -c ."),
        (b'{"id": 1,\n "text": "a"}\n{"id": 2,\n "text": "b"}\n', "spread over lines"),
        (b'\xef\xbb\xbf{ \r\n  "data": [' + b'{"text": "a"},\r\n' * 9000, "spread over lines"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_json_that_is_not_in_lines_is_told_with_how_to_convert_it(reader, data, words, suffix):
    packed = gzip.compress(data) if suffix else data
    reject = reader.broken(f"a.json{suffix}", packed)
    assert (reject.reason, reject.position) == (RejectReason.NOT_JSON_LINES, 0)
    assert words in reject.excerpt


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (b'[1, 2]\n{"text": "a"}\n', "not_an_object"),
        (b'[{"text": "x"}]\n{"text": "a"}\n', "not_an_object"),
        (b'{"text": "half a\n{"text": "a"}\n', "invalid_json"),
        (b'{\n{"text": "a"}\n', "invalid_json"),
        (b'[2026-12-01] started\n{"text": "a"}\n', "invalid_json"),
    ],
)
def test_bad_first_line_costs_only_itself(reader, data, refused):
    reading = reader.read("a.jsonl", data)
    assert (reading.texts, reading.refused) == (["a"], [(0, refused)])


def test_array_that_is_longer_than_a_line_may_be_is_told(reader):
    file = reader.file("a.json", b'[{"text": "%s"}]' % (b"a" * 2_000_000))
    with pytest.raises(Exception, match="one JSON array"):
        reader.read_splits(reader.splits(file), ReadLimits(1000))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"{}", b'{"text": "a"}', b"3", LINES])
def test_line_shape_of_ordinary_files(data):
    assert line_shape(data) is LineShape.LINES
