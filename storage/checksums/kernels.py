"""The checksum kernels; importing them takes a second, so that is done only for many rows."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from strata.storage.checksums.hashing import mix, xxh64

__all__ = ["add_bytes", "add_numbers", "sum_rows"]

_READ_U8: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_READ_I64: Final = numba.types.Array(numba.int64, 1, "C", readonly=True)


@numba.njit((_READ_I64, _READ_U8, numba.uint64, numba.uint64[::1]), cache=True, nogil=True)
def add_numbers(
    numbers: NDArray[np.int64], valid: NDArray[np.uint8], seed: np.uint64, rows: NDArray[np.uint64]
) -> np.uint64:
    """Add the hash of every value to that of its row; the sum of all is the result."""
    total = np.uint64(0)
    null = mix(mix(seed))
    for i in range(rows.shape[0]):
        value = mix(np.uint64(numbers[i]) ^ seed)
        if valid.shape[0] and not valid[i]:
            value = null
        rows[i] += value
        total += value
    return total


@numba.njit(
    (_READ_U8, _READ_I64, _READ_U8, numba.uint64, numba.uint64[::1]), cache=True, nogil=True
)
def add_bytes(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    valid: NDArray[np.uint8],
    seed: np.uint64,
    rows: NDArray[np.uint64],
) -> np.uint64:
    """Add the hash of every value to that of its row; the sum of all is the result."""
    total = np.uint64(0)
    null = mix(mix(seed))
    for i in range(rows.shape[0]):
        if valid.shape[0] and not valid[i]:
            value = null
        else:
            value = xxh64(data, offsets[i], offsets[i + 1], seed)
        rows[i] += value
        total += value
    return total


@numba.njit((numba.uint64[::1],), cache=True, nogil=True)
def sum_rows(rows: NDArray[np.uint64]) -> np.uint64:
    """The sum of the rows, each of them mixed, so that a swap of values between rows shows."""
    total = np.uint64(0)
    for i in range(rows.shape[0]):
        total += mix(rows[i])
    return total
