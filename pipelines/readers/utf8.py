"""Whether many strings are UTF-8, a vector of bytes at a time.

Whether a byte is wrong depends on no more than the three before it, so blocks are checked without
branches, which LLVM turns into vectors of whatever width the processor has. The conditions
are those of Unicode's table 3-7; compare Keiser and Lemire, "Validating UTF-8 in less than one
instruction per byte" (2021), section 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from strata.pipelines.readers.json_bytes import cached_kernel, is_utf8, kernel

__all__ = ["are_utf8"]

Bytes = npt.NDArray[np.uint8]

# Long enough to pay for its setup, short enough that a few letters cost little.
BLOCK = 512
# Continuation bytes of the longest sequence.
BEHIND = 3


@cached_kernel
def are_utf8(data: Bytes, offsets: npt.NDArray[np.int64]) -> bool:
    """Whether each of the strings is well-formed UTF-8.

    Args:
        data: the strings, one behind another.
        offsets: int64[n + 1].
    """
    start, end = offsets[0], offsets[-1]
    if not _is_whole(data, start, end):
        return False
    for place in offsets:  # noqa: SIM110 - numba has no generators in kernels without its run time
        # Whole together, and yet cut within a character.
        if place < end and data[place] & 0xC0 == 0x80:
            return False
    return True


@kernel
def _is_whole(data: Bytes, start: int, end: int) -> bool:
    """As is_utf8, and faster."""
    place = min(start + BEHIND, end)
    while place < end and data[place] & 0xC0 == 0x80:
        place += 1
    if not is_utf8(data, start, place):
        return False
    while place < end:
        stop = min(place + BLOCK, end)
        # With the bytes before it, since a sequence may be cut by the end of the last block.
        if not _is_ascii(data[place - BEHIND : stop]) and _is_broken(
            data[place:stop],
            data[place - 1 : stop - 1],
            data[place - 2 : stop - 2],
            data[place - 3 : stop - 3],
        ):
            return False
        place = stop
    if end - start < BEHIND:
        return True
    return bool(data[end - 1] < 0xC0 and data[end - 2] < 0xE0 and data[end - 3] < 0xF0)


@kernel
def _is_ascii(block: Bytes) -> bool:
    found = np.uint8(0)
    # An iterator would not become a vector.
    for place in range(len(block)):
        found |= block[place]
    return bool(found < 0x80)


@kernel
def _is_broken(block: Bytes, first: Bytes, second: Bytes, third: Bytes) -> bool:
    """Whether any byte is wrong, given the first, second and third byte before it."""
    broken = False
    for place in range(len(block)):
        byte, before = block[place], first[place]
        follows = (before >= 0xC0) | (second[place] >= 0xE0) | (third[place] >= 0xF0)
        broken |= ((byte & 0xC0) == 0x80) != follows
        # Bytes that are nowhere in UTF-8, as they could only begin what has a shorter form.
        broken |= (byte == 0xC0) | (byte == 0xC1) | (byte > 0xF4)
        broken |= ((before == 0xE0) & (byte < 0xA0)) | ((before == 0xED) & (byte > 0x9F))
        broken |= ((before == 0xF0) & (byte < 0x90)) | ((before == 0xF4) & (byte > 0x8F))
    return broken
