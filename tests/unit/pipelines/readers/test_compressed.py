import bz2
import gzip
import json
import lzma
import pickle
import random

import pytest
import zstandard

from strata.errors import InputError
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.rejects import BrokenFile, RejectReason
from strata.pipelines.readers.split import ReadLimits, plan_splits
from strata.settings import InputSettings
from strata.storage.stores.fsspec_store import FsspecStore

STORE = FsspecStore()
COMPRESS = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
SUFFIXES = list(COMPRESS)


def lines(first, number):
    # Words at random, so that there is something to truncate after compression.
    rng = random.Random(first)
    texts = (" ".join(str(rng.getrandbits(60)) for _ in range(9)) for _ in range(number))
    return b"".join(json.dumps({"text": f"{first} {text}"}).encode() + b"\n" for text in texts)


PLAIN = lines(0, 3000)


def batches(path):
    files = [f.numbered(0) for f in list_inputs(STORE, [InputSettings(path=str(path))]).files]
    for split in plan_splits(files, STORE, 10**9):
        yield from read_split(STORE, split, ReadLimits(10_000_000, 100_000))


def read(path):
    return [doc for batch in batches(path) for doc in batch.documents.to_pylist()]


def broken(path):
    with pytest.raises(BrokenFile) as caught:
        read(path)
    reject = caught.value.reject
    assert reject.uri == f"file://{path}"
    assert reject.excerpt
    return reject


def write(tmp_path, suffix, data):
    path = tmp_path / f"part.jsonl.{suffix}"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_file_reads_like_the_plain_one(tmp_path, suffix):
    (tmp_path / "plain.jsonl").write_bytes(PLAIN)
    path = write(tmp_path, suffix, COMPRESS[suffix](PLAIN))
    assert read(path) == read(tmp_path / "plain.jsonl")
    assert len(read(path)) == 3000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_members_follow_one_another(tmp_path, suffix):
    compress = COMPRESS[suffix]
    parts = [PLAIN[:1000], PLAIN[1000:1001], b"", PLAIN[1001:70_000], PLAIN[70_000:]]
    path = write(tmp_path, suffix, b"".join(compress(part) for part in parts))
    assert len(read(path)) == 3000
    assert read(path)[-1]["doc_id"] == PLAIN[:-1].rindex(b"\n") + 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_nothing_and_no_bytes_are_empty_files(tmp_path, suffix):
    assert read(write(tmp_path, suffix, COMPRESS[suffix](b""))) == []
    assert read(write(tmp_path, suffix, b"")) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cut", [1, 3, 7, 20, 5000, -20_000, -8, -4, -1])
def test_compressed_file_cut_anywhere_is_truncated(tmp_path, suffix, cut):
    reject = broken(write(tmp_path, suffix, COMPRESS[suffix](PLAIN)[:cut]))
    assert reject.reason is RejectReason.TRUNCATED_FILE
    assert 0 <= reject.position <= len(PLAIN)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_second_member_cut_is_truncated(tmp_path, suffix):
    data = COMPRESS[suffix](PLAIN)
    reject = broken(write(tmp_path, suffix, data + data[: len(data) // 2]))
    assert reject.reason is RejectReason.TRUNCATED_FILE
    assert reject.position >= len(PLAIN)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_file_with_flipped_bits_is_corrupt(tmp_path, suffix):
    data = bytearray(COMPRESS[suffix](PLAIN))
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(byte ^ 0x5A for byte in data[middle : middle + 40])
    assert broken(write(tmp_path, suffix, data)).reason is RejectReason.CORRUPT_FILE


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("data", [b"words" * 9, b"\0" * 100, b"PK something else entirely"])
def test_compressed_suffix_on_other_content_is_corrupt(tmp_path, suffix, data):
    reject = broken(write(tmp_path, suffix, data))
    assert reject.reason is RejectReason.CORRUPT_FILE
    assert reject.position == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_file_followed_by_garbage_is_corrupt(tmp_path, suffix):
    data = COMPRESS[suffix](PLAIN) + b"and something behind it"
    assert broken(write(tmp_path, suffix, data)).reason is RejectReason.CORRUPT_FILE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_file_padded_with_zeros_is_whole(tmp_path, suffix):
    path = write(tmp_path, suffix, COMPRESS[suffix](PLAIN) + b"\0" * 100_000)
    assert len(read(path)) == 3000


def test_compressed_zstd_without_size_in_its_frame_is_read_and_its_end_noticed(tmp_path):
    compressor = zstandard.ZstdCompressor().compressobj()
    data = compressor.compress(PLAIN) + compressor.flush()
    assert len(read(write(tmp_path, "zst", data))) == 3000
    assert broken(write(tmp_path, "zst", data[:-3])).reason is RejectReason.TRUNCATED_FILE


def test_compressed_zstd_skippable_frames_are_skipped(tmp_path):
    skippable = b"\x50\x2a\x4d\x18" + (70_000).to_bytes(4, "little") + b"x" * 70_000
    data = skippable + COMPRESS["zst"](PLAIN[:5000]) + skippable + COMPRESS["zst"](PLAIN[5000:])
    assert len(read(write(tmp_path, "zst", data))) == 3000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_half_line_at_the_end_is_one_reject(tmp_path, suffix):
    path = write(tmp_path, suffix, COMPRESS[suffix](PLAIN[:-20]))
    rejects = [reject for batch in batches(path) for reject in batch.rejects]
    assert [reject.reason for reject in rejects] == [RejectReason.INVALID_JSON]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["part.csv", "part.txt"])
def test_compressed_csv_and_text_notice_truncation_too(tmp_path, suffix, name):
    path = tmp_path / f"{name}.{suffix}"
    data = COMPRESS[suffix](b"text\n" + PLAIN.replace(b'"', b"").replace(b",", b""))
    path.write_bytes(data)
    assert read(path)
    path.write_bytes(data[:-5])
    assert broken(path).reason is RejectReason.TRUNCATED_FILE


def test_broken_file_is_an_input_error_that_survives_pickling(tmp_path):
    path = write(tmp_path, "gz", b"no gzip at all")
    with pytest.raises(InputError) as caught:
        read(path)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, BrokenFile)
    assert copy.reject == caught.value.reject
    assert str(copy) == str(caught.value)
    assert "part.jsonl.gz" in str(copy)
