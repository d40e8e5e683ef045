"""A compact set of 64-bit keys: which rows of old documents may share a key with a new one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strata.pipelines.kernels.runs import run_starts

__all__ = ["KeyFilter", "filter_bits"]

# With eight bits per key, one in eight other keys passes; each only costs its row in the shuffle.
BITS_PER_KEY = 8
MIN_BITS = 1 << 16
# 64 MB that the driver and every worker hold. With more keys than fit, more and more others pass,
# until the run shuffles as much as one from scratch.
MAX_BITS = 1 << 29


def filter_bits(keys: int) -> int:
    """Bits of a filter for ``keys`` keys: a bounded power of two."""
    wanted = 1 << max(0, BITS_PER_KEY * keys - 1).bit_length()
    return min(MAX_BITS, max(MIN_BITS, wanted))


class KeyFilter:
    """A bitmap over the upper bits of keys: holds every key that was added, and a few others.

    Args:
        bits: uint8[n_bits / 8], where n_bits is a power of two.
    """

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._bits = bits
        self._shift = np.uint64(64 - (len(bits) * 8).bit_length() + 1)

    @classmethod
    def empty(cls, n_bits: int) -> KeyFilter:
        """A filter that holds nothing."""
        return cls(np.zeros(n_bits // 8, np.uint8))

    def add(self, keys: NDArray[np.int64]) -> None:
        """Add keys, int64[n]."""
        if not len(keys):
            return
        place = np.unique(self._places(keys))
        byte = place >> np.uint64(3)
        first = np.flatnonzero(run_starts(byte))
        bit = np.uint8(1) << (place & np.uint64(7)).astype(np.uint8)
        self._bits[byte[first]] |= np.bitwise_or.reduceat(bit, first)

    def merge(self, other: KeyFilter) -> None:
        """Add all keys of another filter of the same size."""
        np.bitwise_or(self._bits, other._bits, out=self._bits)

    def contains(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which keys, int64[n], may have been added: bool[n]; True for each that was."""
        place = self._places(keys)
        bit = self._bits[place >> np.uint64(3)] >> (place & np.uint64(7)).astype(np.uint8)
        found: NDArray[np.bool_] = (bit & np.uint8(1)).astype(np.bool_)
        return found

    def _places(self, keys: NDArray[np.int64]) -> NDArray[np.uint64]:
        places: NDArray[np.uint64] = keys.view(np.uint64) >> self._shift
        return places
