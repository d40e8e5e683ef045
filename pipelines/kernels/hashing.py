"""What the hashing kernels share: an unaligned load and the 64-bit finisher."""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["load64", "mix"]

_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_S30: Final = np.uint64(30)
_S27: Final = np.uint64(27)
_S31: Final = np.uint64(31)


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
