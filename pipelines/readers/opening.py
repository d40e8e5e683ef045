"""The beginning of a file: how it is compressed, and whether it is what its name promises.

A pointer, an error page or an archive in place of the data is told as such, with the remedy: its
lines would be rejected one by one, or be taken for records from the middle of an archive.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import BinaryIO

from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.decompress import READ_BYTES, plain_chunks, raw_chunks
from strata.pipelines.readers.records import reject
from strata.pipelines.readers.rejects import BrokenFile, RejectReason
from strata.pipelines.readers.split import InputFile
from strata.settings import InputFormat

__all__ = ["HEAD_BYTES", "LineShape", "Opened", "foreign_content", "line_shape", "open_plain"]

# Enough for the header of an archive, and for the first lines of most files.
HEAD_BYTES = 1 << 16
BOM = b"\xef\xbb\xbf"
ANY = frozenset(InputFormat)
# All that is read as text may begin with anything; a page or a report may be a document.
RECORDS = ANY - {InputFormat.TEXT}
LINES = frozenset({InputFormat.JSONL, InputFormat.CSV})
# Letters that could also be the first column of a header.
NO_LETTERS = RECORDS - {InputFormat.CSV}
UNPACK = "unpack it, and give the files in it as inputs"
REPACK = "pack it anew with gzip, zstd, bzip2 or xz"
TAR_HEADER, TAR_NAME, TAR_MAGIC = 512, 257, b"ustar"
TAR_CHECKSUM = slice(148, 156)
# What no text holds: control characters but white space, backspace and escape.
CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
PRETTY_START = re.compile(rb'\{\s*\n\s*"')
ARRAY_START = re.compile(rb"\[\s*\{")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a file is that begins so, what to do about it, and where it is no input."""

    start: re.Pattern[bytes]
    what: str
    remedy: str
    formats: frozenset[InputFormat]


def _signature(
    start: bytes, what: str, remedy: str, formats: frozenset[InputFormat] = ANY
) -> Signature:
    return Signature(re.compile(start, re.IGNORECASE), what, remedy, formats)


def _store(start: bytes, what: str, formats: frozenset[InputFormat] = ANY) -> Signature:
    return _signature(start, what, "convert it to JSON lines or Parquet", formats)


SIGNATURES = (
    _signature(
        rb"version https://git-lfs\.github\.com/spec/",
        "a Git LFS pointer, not the file",
        "fetch the file with `git lfs pull`",
    ),
    _signature(
        rb"/annex/objects/",
        "a git-annex pointer, not the file",
        "fetch the file with `git annex get`",
    ),
    _signature(rb"PK(\x03\x04|\x05\x06)", "a ZIP archive", UNPACK),
    _signature(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    _signature(rb"Rar!\x1a\x07", "a RAR archive", UNPACK),
    _signature(rb"\x04\x22\x4d\x18", "compressed with lz4, which is not read", REPACK),
    _signature(rb"\xff\x06\x00\x00snappy", "compressed with snappy, which is not read", REPACK),
    _signature(rb"\x1f\x9d", "compressed with compress (.Z), which is not read", REPACK),
    _signature(rb"LZIP", "compressed with lzip, which is not read", REPACK, NO_LETTERS),
    _signature(
        rb"PAR1\x15",
        "a Parquet file",
        'name it .parquet, or set format = "parquet"',
        ANY - {InputFormat.PARQUET},
    ),
    _store(rb"ORC", "an ORC file", NO_LETTERS),
    _store(rb"Obj\x01", "an Avro file"),
    _store(rb"ARROW1\x00", "an Arrow file"),
    _store(rb"\x89HDF", "an HDF5 file"),
    _store(rb"SQLite format 3\x00", "an SQLite database"),
    _store(rb"WARC/", "a WARC file", NO_LETTERS),
    _store(rb"%PDF-", "a PDF document", RECORDS),
    _signature(
        rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|body)\b",
        "an HTML page, such as an error page in place of the file",
        "fetch the file again",
        RECORDS,
    ),
    _signature(
        rb"(\xef\xbb\xbf)?\s*<(\?xml|Error\b)",
        "an XML document, such as the error of an object store in place of the file",
        "fetch the file again",
        RECORDS,
    ),
    _signature(
        rb"\xff\xfe|\xfe\xff",
        "text in UTF-16, where UTF-8 is read",
        "convert it with `iconv -f UTF-16 -t UTF-8`",
        LINES,
    ),
)


class LineShape(StrEnum):
    """How the records of a file lie in its lines."""

    LINES = "lines"
    ARRAY = "array"
    SPREAD = "spread"
    LONG_ARRAY = "long array"
    """The first line is an array of objects, or the beginning of one; all depends on the rest."""

    @property
    def sentence(self) -> str:
        """What is wrong, and how the file is converted."""
        if self is LineShape.SPREAD:
            return (
                "JSON that is spread over lines (pretty-printed), where each line is to hold one "
                "record; convert it with `jq -c . FILE > FILE.jsonl`"
            )
        return (
            "one JSON array, where each line is to hold one record; convert it with "
            "`jq -c '.[]' FILE > FILE.jsonl`"
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is read from its beginning.

    Attributes:
        head: its first bytes, decompressed: HEAD_BYTES, unless it is shorter.
        compression: by its bytes, whatever its name says.
        chunks: its content, the head included.
    """

    head: bytes
    compression: Compression
    chunks: Iterator[bytes]


def open_plain(handle: BinaryIO, file: InputFile, most: int = READ_BYTES) -> Opened:
    """Look at the first bytes of a file, and decompress it if they say so.

    Args:
        handle: the file, at its beginning.
        file: what the listing found.
        most: the most bytes that are read before more are asked for.

    Raises:
        BrokenFile: the file is something else, such as a pointer, an error page or an archive.
        DamagedStream: it is truncated or corrupt.
    """
    chunks = raw_chunks(handle, most)
    head = _beginning(chunks)
    compression = _compression(head, file)
    if compression is not Compression.NONE:
        chunks = plain_chunks(chain([head], chunks), compression)
        head = _beginning(chunks)
        if again := Compression.of_bytes(head):
            raise _wrong(file, f"compressed twice, the second time with {again.name.lower()}")
    _refuse_foreign(head, file)
    return Opened(head, compression, chain([head], chunks))


def _compression(head: bytes, file: InputFile) -> Compression:
    found = Compression.of_bytes(head)
    if found is not Compression.NONE or file.compression is Compression.NONE:
        return found
    _refuse_foreign(head, file, file.compression.name.lower())
    # Some clients decompress what they fetch, and keep its name.
    return Compression.NONE if _is_plain(head, file.format) else file.compression


def _refuse_foreign(head: bytes, file: InputFile, wanted: str = "") -> None:
    if found := foreign_content(head, file.format, wanted):
        raise _wrong(file, found)


def _wrong(file: InputFile, what: str) -> BrokenFile:
    return BrokenFile(reject(file, 0, RejectReason.WRONG_CONTENT, what))


def _beginning(chunks: Iterator[bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= HEAD_BYTES:
            break
    return b"".join(parts)


def foreign_content(head: bytes, form: InputFormat, wanted: str = "") -> str | None:
    """What a file is instead of one of its format, with the remedy; None where it may be one.

    Args:
        head: its first bytes, decompressed; those of a tar archive are recognised by 512.
        form: how it is to be read.
        wanted: what it should have been, where that is not the format.
    """
    name = f", not {wanted}" if wanted else ""
    for each in SIGNATURES:
        if form in each.formats and each.start.match(head):
            return f"{each.what}{name}; {each.remedy}"
    return f"a tar archive{name}; {UNPACK}" if _is_tar(head) else None


def _is_plain(head: bytes, form: InputFormat) -> bool:
    """Whether a file is text of its format though its name says that it is compressed."""
    if form is InputFormat.JSONL:
        return head.removeprefix(BOM).lstrip()[:1] in (b"{", b"[")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(head) and not CONTROLS.search(head)


def line_shape(head: bytes) -> LineShape:
    """Whether a file of JSON has a record a line, as far as its first bytes tell."""
    body = head.removeprefix(BOM).lstrip()
    line, end, _ = body.partition(b"\n")
    line = line.rstrip()
    if ARRAY_START.match(body):
        return LineShape.ARRAY if end and not line.endswith(b"]") else LineShape.LONG_ARRAY
    if not body.startswith(b"{") or not end or line.endswith(b"}"):
        return LineShape.LINES
    spread = PRETTY_START.match(body) or _is_value_over_lines(body, len(line))
    return LineShape.SPREAD if spread else LineShape.LINES


def _is_value_over_lines(body: bytes, first_line: int) -> bool:
    try:
        _, end = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return end > first_line


def _is_tar(head: bytes) -> bool:
    if head[TAR_NAME : TAR_NAME + len(TAR_MAGIC)] == TAR_MAGIC and _is_checksum(head):
        return True
    # The archives of old have nothing but the checksum of their header.
    return b"\0" in head[:100] and _is_checksum(head)


def _is_checksum(head: bytes) -> bool:
    header = head[:TAR_HEADER]
    try:
        wanted = int(header[TAR_CHECKSUM].strip(b" \0"), 8)
    except ValueError:
        return False
    blank = header[: TAR_CHECKSUM.start] + b" " * 8 + header[TAR_CHECKSUM.stop :]
    return len(header) == TAR_HEADER and sum(blank) == wanted
