"""What the hashing kernels share: an unaligned load, the 64-bit finisher, a field of 2^61 - 1."""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["load64", "mix", "multiply61", "reduce61"]

_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_S30: Final = np.uint64(30)
_S27: Final = np.uint64(27)
_S31: Final = np.uint64(31)
_PRIME: Final = np.uint64(2**61 - 1)
_S3: Final = np.uint64(3)
_S61: Final = np.uint64(61)


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


@intrinsic
def _multiply_high(_: Any, a: Any, b: Any) -> Any:  # noqa: ANN401, ARG001
    """The high 64 bits of a product of 128: one instruction, where numba knows only the low."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        wide = ir.IntType(128)
        left, right = (builder.zext(each, wide) for each in arguments)
        product = builder.mul(left, right)
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return numba.uint64(numba.uint64, numba.uint64), generate


@numba.njit("uint64(uint64)", cache=True)
def reduce61(x: np.uint64) -> np.uint64:
    """``x`` modulo the prime 2^61 - 1."""
    x = (x & _PRIME) + (x >> _S61)
    return x - _PRIME if x >= _PRIME else x


@numba.njit("uint64(uint64, uint64)", cache=True)
def multiply61(a: np.uint64, b: np.uint64) -> np.uint64:
    """The product modulo the prime 2^61 - 1 of two numbers below it.

    A sum of such products collides seldom for any input (Carter, Wegman: Universal Classes of Hash
    Functions, 1979); a polynomial modulo 2^64 collides for every base on a Thue-Morse sequence.
    """
    high: np.uint64 = _multiply_high(a, b)  # type: ignore[call-arg]
    low = a * b
    return reduce61((low & _PRIME) + ((high << _S3) | (low >> _S61)))
