import bz2
import gzip
import io
import lzma
import tracemalloc

import pytest
import zstandard

from strata.pipelines.readers.compression import Compression
from strata.pipelines.readers.decompress import DamagedStream, plain_chunks, raw_chunks
from strata.pipelines.readers.rejects import RejectReason


def zstd(data):
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


CODECS = {
    Compression.GZIP: lambda data: gzip.compress(data, mtime=0),
    Compression.ZSTD: zstd,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
}
DATA = b"".join(b'{"text":"document number %d"}\n' % n for n in range(40))
BOMB_BYTES = 400 << 20

codecs = pytest.mark.parametrize("codec", CODECS)


class Short(io.BytesIO):
    """A handle that gives one byte at a time."""

    def read(self, size=-1):
        return super().read(min(size, 1))


def plain(data, codec, handle=io.BytesIO):
    return b"".join(plain_chunks(raw_chunks(handle(data)), codec))


def damage(data, codec):
    with pytest.raises(DamagedStream) as caught:
        plain(data, codec)
    return caught.value


@codecs
@pytest.mark.parametrize("handle", [io.BytesIO, Short])
def test_decompress_one_member_gives_the_content(codec, handle):
    assert plain(CODECS[codec](DATA), codec, handle) == DATA


@codecs
@pytest.mark.parametrize("handle", [io.BytesIO, Short])
def test_decompress_members_in_a_row_give_all_contents(codec, handle):
    pieces = [DATA, b"", b"x", DATA * 50]
    data = b"".join(CODECS[codec](piece) for piece in pieces)
    assert plain(data, codec, handle) == b"".join(pieces)


@codecs
@pytest.mark.parametrize("handle", [io.BytesIO, Short])
def test_decompress_zero_bytes_between_and_behind_members_are_padding(codec, handle):
    one = CODECS[codec](DATA)
    assert plain(one + bytes(8) + one + bytes(1000), codec, handle) == DATA * 2


@codecs
def test_decompress_truncated_anywhere_is_damage(codec):
    packed = CODECS[codec](DATA)
    for size in range(1, len(packed)):
        found = damage(packed[:size], codec)
        assert found.reason is RejectReason.TRUNCATED_FILE
        assert found.position <= len(DATA)


@codecs
def test_decompress_flipped_bits_are_damage_or_change_nothing(codec):
    packed = bytearray(CODECS[codec](DATA))
    found = 0
    for place in range(len(packed)):
        packed[place] ^= 0x55
        try:
            # Some bits, such as the time in a gzip header, are not part of the content.
            assert plain(bytes(packed), codec) == DATA
        except DamagedStream:
            found += 1
        packed[place] ^= 0x55
    assert found > 0.9 * len(packed)


@codecs
def test_decompress_garbage_behind_a_member_is_corrupt(codec):
    found = damage(CODECS[codec](DATA) + b"garbage and more of it", codec)
    assert found.reason is RejectReason.CORRUPT_FILE
    assert found.position == len(DATA)


@codecs
def test_decompress_very_repetitive_content_comes_in_bounded_chunks(codec):
    maker = {
        Compression.GZIP: lambda: gzip.compress(bytes(100 << 20), compresslevel=1),
        Compression.ZSTD: lambda: zstd(bytes(BOMB_BYTES)),
        Compression.BZIP2: lambda: bz2.compress(bytes(10 << 20)) * 12,
        Compression.XZ: lambda: lzma.compress(bytes(100 << 20), preset=0),
    }
    packed = maker[codec]()
    tracemalloc.start()
    size = sum(len(chunk) for chunk in plain_chunks(raw_chunks(io.BytesIO(packed)), codec))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size >= 100 << 20
    assert peak < 100 << 20


def test_decompress_zstd_long_window_is_read():
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(DATA) + packer.flush()
    assert plain(packed, Compression.ZSTD) == DATA


@codecs
def test_decompress_truncated_text_beyond_the_limit_is_broken(reader, codec):
    packed = CODECS[codec](DATA * 1000)
    assert reader.read(f"a.txt{codec}", packed).refused == [(0, "too_long")]
    assert reader.broken(f"a.txt{codec}", packed[:-3]).reason is RejectReason.TRUNCATED_FILE
