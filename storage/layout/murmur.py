"""32-bit Murmur3 over Arrow columns, with seed 0, as Iceberg's bucket transform hashes.

After A. Appleby's MurmurHash3_x86_32 (public domain); the bytes to hash for each type are in
https://iceberg.apache.org/spec/#appendix-b-32-bit-hash-requirements.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["hash_numbers", "hash_strings"]

_C1: Final = np.uint32(0xCC9E2D51)
_C2: Final = np.uint32(0x1B873593)
_ADD: Final = np.uint32(0xE6546B64)
_F1: Final = np.uint32(0x85EBCA6B)
_F2: Final = np.uint32(0xC2B2AE35)


def hash_numbers(values: NDArray[np.int64]) -> NDArray[np.int32]:
    """Hashes of integers as 8 little-endian bytes; int32[n]."""
    data = np.ascontiguousarray(values, "<i8").view(np.uint8)
    return _hashes(np.arange(0, 8 * len(values) + 1, 8, dtype=np.int64), data).view(np.int32)


def hash_strings(strings: pa.StringArray | pa.LargeStringArray) -> NDArray[np.int32]:
    """Hashes of the UTF-8 bytes of strings; int32[n], undefined for nulls."""
    offsets, data = _buffers(strings)
    return _hashes(offsets, data).view(np.int32)


def _buffers(strings: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    width = np.int64 if pa.types.is_large_string(strings.type) else np.int32
    _, offsets, data = strings.buffers()
    if not len(strings) or offsets is None:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    stop = strings.offset + len(strings) + 1
    view = np.frombuffer(offsets, width, count=stop)[strings.offset :]
    body = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return view.astype(np.int64), body


@numba.njit("uint32(uint32, uint32)", cache=True)
def _rotated(x: Any, by: Any) -> Any:  # noqa: ANN401
    return np.uint32((x << by) | (x >> np.uint32(np.uint32(32) - by)))


@numba.njit("uint32(uint32)", cache=True)
def _scrambled(block: Any) -> Any:  # noqa: ANN401
    return np.uint32(_rotated(np.uint32(block * _C1), np.uint32(15)) * _C2)


@numba.njit("uint32[::1](int64[::1], Array(uint8, 1, 'C', readonly=True))", cache=True)
def _hashes(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    found = np.empty(len(offsets) - 1, np.uint32)
    for row in range(len(found)):
        at, stop = offsets[row], offsets[row + 1]
        size = stop - at
        value = np.uint32(0)
        while at + 4 <= stop:
            block = np.uint32(0)
            for byte in range(4):
                block |= np.uint32(data[at + byte]) << np.uint32(8 * byte)
            value = _rotated(np.uint32(value ^ _scrambled(np.uint32(block))), np.uint32(13))
            value = np.uint32(value * np.uint32(5) + _ADD)
            at += 4
        block = np.uint32(0)
        for byte in range(stop - at):
            block |= np.uint32(data[at + byte]) << np.uint32(8 * byte)
        value = np.uint32(value ^ _scrambled(np.uint32(block)) ^ np.uint32(size))
        value = np.uint32((value ^ (value >> np.uint32(16))) * _F1)
        value = np.uint32((value ^ (value >> np.uint32(13))) * _F2)
        found[row] = value ^ (value >> np.uint32(16))
    return found
