import io
import itertools
import random

import pytest

from strata.pipelines.readers.lines import LineBlock, line_blocks, range_chunks

LINES = b"\xef\xbb\xbfone\n\ntwo\r\nthree three three\n\n\r\nfour"


def cut(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def lines_of(blocks):
    """Offset and bytes of every line."""
    found = []
    for block in blocks:
        place = block.offset
        for line in block.data.splitlines(keepends=True):
            found.append((place, line))
            place += len(line)
    return found


@pytest.mark.parametrize("size", range(1, len(LINES) + 1))
@pytest.mark.parametrize("block_bytes", [1, 2, 7, 16, 1000])
def test_line_blocks_any_chunks_give_the_same_lines(size, block_bytes):
    blocks = list(line_blocks(iter(cut(LINES, size)), 0, block_bytes, 100))
    assert lines_of(blocks) == lines_of([LineBlock(0, b"   " + LINES[3:])])
    assert all(block.data.endswith(b"\n") for block in blocks[:-1])
    assert not any(block.too_long for block in blocks)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 40, 300])
@pytest.mark.parametrize("block_bytes", [1, 8, 30])
def test_line_blocks_line_far_too_long_is_told_by_its_beginning(size, block_bytes):
    data = b"a\n" + b"x" * 200 + b"\nb\n" + b"y" * 200
    blocks = list(line_blocks(iter(cut(data, size)), 0, block_bytes, 20))
    whole = [line for line in lines_of(b for b in blocks if not b.too_long) if len(line[1]) < 9]
    assert whole == [(0, b"a\n"), (203, b"b\n")]
    for block in blocks:
        if block.too_long:
            assert block.offset in (2, 205)
            assert block.data in (b"x" * len(block.data), b"y" * len(block.data))


def test_line_blocks_long_line_in_small_chunks_takes_linear_time():
    chunks = (b"x" * 1000 for _ in range(60_000))
    (block,) = line_blocks(chunks, 0, 1000, 100_000_000)
    assert len(block.data) == 60_000_000


def test_line_blocks_overlong_lines_are_not_kept():
    chunks = (b"x" * 1000 for _ in range(60_000))
    (block,) = line_blocks(chunks, 7, 1000, 5000)
    assert (block.offset, len(block.data) <= 6000, block.too_long) == (7, True, True)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\n\n", b"a", b"a\n", b"ab\n\ncde\n\n\nf\r\ng", b"\xef\xbb\xbfa\nb\n"]
)
def test_range_chunks_every_set_of_ranges_gives_every_line_once(data):
    whole = [(0, data)] if data else []
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            found = []
            for start, end in ((0, first), (first, second), (second, len(data))):
                piece = range_chunks(io.BytesIO(data), start, end)
                content = b"".join(piece.chunks)
                if content:
                    found.append((piece.offset, content))
            assert b"".join(content for _, content in found) == data
            assert all(data[offset:].startswith(content) for offset, content in found)
            assert all(content.endswith(b"\n") for _, content in found[:-1])
    assert b"".join(range_chunks(io.BytesIO(data), 0, len(data)).chunks) == b"".join(
        content for _, content in whole
    )


def test_range_chunks_of_handles_with_short_reads_give_every_line_once():
    rng = random.Random(3)
    data = b"".join(b"x" * rng.randrange(9) + b"\n" for _ in range(200))

    class Short(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, rng.randrange(1, 5)))

    bounds = sorted({0, len(data), *rng.choices(range(len(data)), k=20)})
    pieces = [
        b"".join(range_chunks(Short(data), start, end).chunks)
        for start, end in itertools.pairwise(bounds)
    ]
    assert b"".join(pieces) == data
