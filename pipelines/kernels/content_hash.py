"""Content hashes: XXH64 (Collet, xxHash specification 0.1.1, section XXH64) over Arrow buffers."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.buffers import text_buffers
from strata.pipelines.kernels.hashing import load64

__all__ = ["CONTENT_HASH_BYTES", "content_hash", "hash64"]

CONTENT_HASH_BYTES: Final = 16

_P1: Final = np.uint64(0x9E3779B185EBCA87)
_P2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_P3: Final = np.uint64(0x165667B19E3779F9)
_P4: Final = np.uint64(0x85EBCA77C2B2AE63)
_P5: Final = np.uint64(0x27D4EB2F165667C5)


def content_hash(text: pa.LargeStringArray) -> pa.FixedSizeBinaryArray:
    """XXH64 with seed 0, then with seed 1, of the raw UTF-8 bytes; 16 bytes, little endian."""
    hashes = np.empty((len(text), 2), "<u8")
    buffers = text_buffers(text)
    _hash_all(buffers.data, buffers.offsets, hashes)
    body = pa.py_buffer(hashes)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(CONTENT_HASH_BYTES), len(text), [None, body]
    )


def hash64(strings: pa.StringArray | pa.LargeStringArray) -> NDArray[np.int64]:
    """XXH64 with seed 0 of each string, int64[n]."""
    hashes = np.empty((len(strings), 1), np.uint64)
    buffers = text_buffers(strings)
    _hash_all(buffers.data, buffers.offsets, hashes)
    return hashes[:, 0].view(np.int64)


_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)


@numba.njit(cache=True)
def _rotate(x: np.uint64, bits: int) -> np.uint64:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@numba.njit(cache=True)
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotate(lane + word * _P2, 31) * _P1


@numba.njit(cache=True)
def _stripes(data: NDArray[np.uint8], start: int, stop: int, seed: np.uint64) -> np.uint64:
    """The four lanes over all whole stripes of 32 bytes, merged."""
    a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
    for at in range(start, stop - 31, 32):
        a = _round(a, load64(data, at))
        b = _round(b, load64(data, at + 8))
        c = _round(c, load64(data, at + 16))
        d = _round(d, load64(data, at + 24))
    merged = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
    for lane in (a, b, c, d):
        merged = (merged ^ _round(np.uint64(0), lane)) * _P1 + _P4
    return merged


@numba.njit(cache=True)
def _xxh64(data: NDArray[np.uint8], start: int, stop: int, seed: np.uint64) -> np.uint64:
    length = stop - start
    x = _stripes(data, start, stop, seed) if length >= 32 else seed + _P5
    x += np.uint64(length)
    at = start + length // 32 * 32
    while at + 8 <= stop:
        x = _rotate(x ^ _round(np.uint64(0), load64(data, at)), 27) * _P1 + _P4
        at += 8
    if at + 4 <= stop:
        half = np.uint64(data[at]) | np.uint64(data[at + 1]) << np.uint64(8)
        half |= np.uint64(data[at + 2]) << np.uint64(16) | np.uint64(data[at + 3]) << np.uint64(24)
        x = _rotate(x ^ (half * _P1), 23) * _P2 + _P3
        at += 4
    while at < stop:
        x = _rotate(x ^ (np.uint64(data[at]) * _P5), 11) * _P1
        at += 1
    x = (x ^ (x >> np.uint64(33))) * _P2
    x = (x ^ (x >> np.uint64(29))) * _P3
    return x ^ (x >> np.uint64(32))


@numba.njit((_READ_U8, _READ_I64, numba.uint64[:, ::1]), cache=True, nogil=True)
def _hash_all(data: NDArray[np.uint8], offsets: NDArray[np.int64], out: NDArray[np.uint64]) -> None:
    """Column s of ``out`` is the hash with seed s."""
    for i in range(out.shape[0]):
        for seed in range(out.shape[1]):
            out[i, seed] = _xxh64(data, offsets[i], offsets[i + 1], np.uint64(seed))
