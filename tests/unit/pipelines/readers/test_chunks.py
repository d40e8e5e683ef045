"""What is read does not depend on how much a store gives at a time."""

import bz2
import gzip
import io
import lzma
from dataclasses import dataclass

import pytest
import zstandard

from strata.pipelines.readers.split import ReadLimits
from strata.storage.contracts.store import Store
from strata.storage.stores.fsspec_store import FsspecStore

JSONL = (
    b'\xef\xbb\xbf{"text":"a"}\r\n\n{"text":"b","n":1}\n{"half\n  \r\n{"text":"\xff"}\n'
    b'{"text":"\xe4\xb8\xad","metadata":{"n":1}}\n{"text":"long long long long"}\n{"text":""}\n'
    b'{"id":7,"text":"e\\u00e9"}'
)
CSV = (
    b'\xef\xbb\xbftext,n\r\na,1\r\n\r\n"two\nlines, ""quoted""",2\nragged\n"\xff",3\n"x" y,4\n'
    b'\xe4\xb8\xad,5\n"longer than the limit",6\nlast,7'
)
TEXT = b"\xef\xbb\xbfone\r\ntext \xe4\xb8\xad"
FILES = {
    "a.jsonl": JSONL,
    "a.csv": CSV,
    "a.txt": TEXT,
    "a.jsonl.gz": gzip.compress(JSONL[:40]) + gzip.compress(JSONL[40:]),
    "a.jsonl.zst": zstandard.compress(JSONL[:40]) + zstandard.compress(JSONL[40:]),
    "a.csv.bz2": bz2.compress(CSV[:30]) + bz2.compress(CSV[30:]),
    "a.txt.xz": lzma.compress(TEXT[:10]) + lzma.compress(TEXT[10:]),
}


class Trickle(io.BytesIO):
    """A handle that gives at most ``most`` bytes at a time."""

    most = 1

    def read(self, size=-1):
        return super().read(self.most if size is None or size < 0 else min(size, self.most))


@dataclass(frozen=True, slots=True)
class TrickleStore(Store):
    """A store whose handles trickle."""

    most: int

    def open_input(self, url):
        handle = Trickle(FsspecStore().read_bytes(url))
        handle.most = self.most
        return handle

    create = find = info = delete = read_ranges = None


@pytest.mark.parametrize("name", FILES)
def test_reading_any_file_in_chunks_of_any_size_gives_the_same(reader, name):
    limits = ReadLimits(20)
    splits = reader.splits(reader.file(name, FILES[name]))
    whole = reader.read_splits(splits, limits)
    assert whole.documents
    for most in range(1, len(FILES[name]) + 1):
        assert reader.read_splits(splits, limits, TrickleStore(most)) == whole, most


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
@pytest.mark.parametrize("batch_bytes", [1, 2, 10, 50, 100])
def test_reading_any_file_in_batches_of_any_size_gives_the_same(reader, name, batch_bytes):
    splits = reader.splits(reader.file(name, FILES[name]))
    whole = reader.read_splits(splits, ReadLimits(20))
    for most in (1, 7, 1000):
        small = ReadLimits(20, batch_bytes=batch_bytes)
        assert reader.read_splits(splits, small, TrickleStore(most)) == whole


def test_reading_jsonl_at_every_cut_in_small_chunks_gives_the_same(reader):
    file = reader.file("a.jsonl", JSONL)
    whole = reader.read_splits(reader.splits(file), ReadLimits(20))
    for split_bytes in range(1, 40):
        splits = reader.splits(file, split_bytes)
        assert reader.read_splits(splits, ReadLimits(20, 5), TrickleStore(3)) == whole
