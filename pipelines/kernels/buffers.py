"""NumPy views of Arrow string arrays, without a copy of the text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["TextBuffers", "fixed_matrix", "text_buffers"]


@dataclass(frozen=True, slots=True)
class TextBuffers:
    """Where the strings are.

    Attributes:
        offsets: int64[n + 1]; string i is ``data[offsets[i] : offsets[i + 1]]``.
        data: uint8[m], UTF-8; may hold more than the strings of a sliced array.
    """

    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]


def text_buffers(strings: pa.StringArray | pa.LargeStringArray) -> TextBuffers:
    """Views of a string or large_string array; a null spans whatever bytes its slot spans.

    Raises:
        TypeError: the array holds something else.
    """
    if pa.types.is_large_string(strings.type):
        width: type[np.signedinteger] = np.int64
    elif pa.types.is_string(strings.type):
        width = np.int32
    else:
        raise TypeError(f"expected a string or large_string array, not {strings.type}")
    _, offsets, data = strings.buffers()
    if not len(strings) or offsets is None:
        return TextBuffers(np.zeros(1, np.int64), np.zeros(0, np.uint8))
    stop = strings.offset + len(strings) + 1
    view = np.frombuffer(offsets, width, count=stop)[strings.offset :]
    body = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return TextBuffers(view.astype(np.int64, copy=False), body)


def fixed_matrix(column: pa.FixedSizeBinaryArray) -> np.ndarray:
    """A column of fixed-size binary values as uint8[n, width], without a copy."""
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8)
    start = column.offset * width
    return data[start : start + len(column) * width].reshape(len(column), width)
