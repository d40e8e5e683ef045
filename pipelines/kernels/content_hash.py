"""Content hashes: XXH64 over Arrow buffers."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.kernels.buffers import text_buffers
from strata.storage.checksums.hashing import xxh64

__all__ = ["CONTENT_HASH_BYTES", "content_hash", "hash64"]

CONTENT_HASH_BYTES: Final = 16


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


@numba.njit((_READ_U8, _READ_I64, numba.uint64[:, ::1]), cache=True, nogil=True)
def _hash_all(data: NDArray[np.uint8], offsets: NDArray[np.int64], out: NDArray[np.uint64]) -> None:
    """Column s of ``out`` is the hash with seed s."""
    for i in range(out.shape[0]):
        for seed in range(out.shape[1]):
            out[i, seed] = xxh64(data, offsets[i], offsets[i + 1], np.uint64(seed))
