"""Arithmetic modulo the prime 2^61 - 1, for hashes by polynomials and by tables."""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic

__all__ = ["multiply61", "reduce61"]

_PRIME: Final = np.uint64(2**61 - 1)
_S3: Final = np.uint64(3)
_S61: Final = np.uint64(61)


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
