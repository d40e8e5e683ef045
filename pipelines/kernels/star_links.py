"""The star links of LSH buckets for signatures of any width, to compare settings.

A signature is cut to the lowest bits of its bytes, kept as planes: all first bits, all second bits.
Two documents differ in the places where a bit of any plane differs (b-bit minwise hashing: Li,
König, WWW 2010). The rule of the links is that of :mod:`strata.pipelines.kernels.bucket_scan`.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from strata.pipelines.kernels.banding import SIGNATURE_BYTES, SKETCH_WORDS

__all__ = ["bit_planes", "star_links"]

_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)
_READ_U64: Final = numba.types.Array(numba.uint64, 3, "C", readonly=True)


def bit_planes(signature: NDArray[np.uint8], bits: int) -> NDArray[np.uint64]:
    """The lowest bits of signatures, uint8[n, 256], as uint64[n, bits, SKETCH_WORDS]."""
    planes = np.empty((len(signature), bits, SKETCH_WORDS), np.uint64)
    for plane in range(bits):
        lowest = (signature >> np.uint8(plane)) & np.uint8(1)
        planes[:, plane] = np.packbits(lowest, axis=1, bitorder="little").view("<u8")
    return planes


def star_links(
    keys: NDArray[np.int64], planes: NDArray[np.uint64], most_differing: int, most_hubs: int
) -> NDArray[np.int64]:
    """The links of buckets.

    Args:
        keys: int64[n], ascending; rows of a bucket in the order of their documents.
        planes: uint64[n, bits, SKETCH_WORDS].
        most_differing: places in which linked documents may differ.
        most_hubs: hubs of a bucket.

    Returns:
        int64[m, 3]: hub and member as rows, and the places in which they differ.
    """
    hubs = np.empty(most_hubs, np.int64)
    links = np.empty((len(keys), 3), np.int64)
    return links[: _link(keys, planes, most_differing, hubs, links)]


@numba.njit(cache=True)
def _ones(x: np.uint64) -> np.uint64:
    """Bits that are set (Warren, Hacker's Delight, section 5-1)."""
    pairs = np.uint64(0x3333333333333333)
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & pairs) + ((x >> np.uint64(2)) & pairs)
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@numba.njit(cache=True)
def _differing(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> int:
    count = np.uint64(0)
    for word in range(SKETCH_WORDS):
        any_bit = np.uint64(0)
        for plane in range(len(a)):
            any_bit |= a[plane, word] ^ b[plane, word]
        count += _ones(any_bit)
    return int(np.int64(count))


@numba.njit(
    (_READ_I64, _READ_U64, numba.int64, numba.int64[::1], numba.int64[:, ::1]),
    cache=True,
    nogil=True,
)
def _link(
    keys: NDArray[np.int64],
    planes: NDArray[np.uint64],
    most_differing: int,
    hubs: NDArray[np.int64],
    links: NDArray[np.int64],
) -> int:
    n_hubs, n_links = 0, 0
    for row in range(len(keys)):
        if row == 0 or keys[row] != keys[row - 1]:
            n_hubs = 0
        best = SIGNATURE_BYTES + 1
        for place in range(n_hubs):
            best = _differing(planes[row], planes[hubs[place]])
            if best <= most_differing:
                links[n_links, 0], links[n_links, 1], links[n_links, 2] = hubs[place], row, best
                n_links += 1
                break
        if best > most_differing and n_hubs < len(hubs):
            hubs[n_hubs] = row
            n_hubs += 1
    return n_links
