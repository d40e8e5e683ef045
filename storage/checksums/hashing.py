"""What the hashing kernels share: an unaligned load, a 64-bit finalizer, XXH64."""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["load64", "mix", "xxh64"]

_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_S30: Final = np.uint64(30)
_S27: Final = np.uint64(27)
_S31: Final = np.uint64(31)
_P1: Final = np.uint64(0x9E3779B185EBCA87)
_P2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_P3: Final = np.uint64(0x165667B19E3779F9)
_P4: Final = np.uint64(0x85EBCA77C2B2AE63)
_P5: Final = np.uint64(0x27D4EB2F165667C5)


@numba.njit("uint64(uint64)", cache=True)
def mix(x: np.uint64) -> np.uint64:
    """Bijection of 64 bits in which every bit depends on all (splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@numba.njit(cache=True)
def load64(data: NDArray[np.uint8], at: int) -> np.uint64:
    """The 8 bytes ``data[at : at + 8]`` as one integer in the byte order of the machine."""
    return _load64(data, at)  # type: ignore[call-arg]


@intrinsic
def _load64(_: Any, data: Any, at: Any) -> Any:  # noqa: ANN401
    """One unaligned load: LLVM does not merge eight loads of a byte (5 times slower, measured)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        word = builder.bitcast(pointer, ir.IntType(64).as_pointer())
        return builder.load(word, align=1)

    return numba.uint64(data, at), generate


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
def xxh64(data: NDArray[np.uint8], start: int, stop: int, seed: np.uint64) -> np.uint64:
    """XXH64 (Collet, xxHash specification 0.1.1) of ``data[start:stop]``."""
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
