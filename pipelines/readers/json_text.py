"""Raw JSON values, many at a time: to text, and together to objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from strata.pipelines.readers.json_kernels import compose_all, unescape_all

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["JsonObjects", "JsonValues", "objects", "strings"]

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

QUOTE = ord('"')


@dataclass(frozen=True, slots=True)
class JsonValues:
    """Raw values, one behind another.

    Attributes:
        data: uint8[total].
        offsets: int64[n + 1]; an empty value stands for an absent one.
    """

    data: Bytes
    offsets: Offsets

    @classmethod
    def of(cls, values: Sequence[ReadableBuffer]) -> JsonValues:
        """Join values, such as those that ``msgspec.Raw`` refers to."""
        offsets = np.zeros(len(values) + 1, np.int64)
        sizes = (memoryview(value).nbytes for value in values)
        np.cumsum(np.fromiter(sizes, np.int64, len(values)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(values), np.uint8), offsets)

    @property
    def are_strings(self) -> bool:
        """Whether every value is a string."""
        starts = self.offsets[:-1]
        there = bool((self.offsets[1:] > starts).all())
        return there and bool((self.data[starts] == QUOTE).all())

    def __contains__(self, part: bytes) -> bool:
        return part in self.data.tobytes()


def strings(values: JsonValues) -> pa.LargeStringArray:
    """The text of strings, null for null and absent values, and the JSON text of any other."""
    count = len(values.offsets) - 1
    out = np.empty(len(values.data), np.uint8)
    offsets = np.zeros(count + 1, np.int64)
    valid = np.empty(count, np.bool_)
    unescape_all(values.data, values.offsets, out, offsets, valid)
    return _array(out, offsets, valid)


@dataclass(frozen=True, slots=True)
class JsonObjects:
    """Objects without insignificant white space, null where one would have no members.

    Attributes:
        text: large_string[n].
        depth: int64[n], how deep the values are nested: 0 for scalars, 2 for ``[[]]``.
    """

    text: pa.LargeStringArray
    depth: npt.NDArray[np.int64]


def objects(base: JsonValues, names: Sequence[bytes], members: JsonValues) -> JsonObjects:
    """Put values together to objects.

    Args:
        base: n values; the members of an object come first as they are, null is left out, and
            any other value becomes the member that ``names`` begins with.
        names: names of k + 1 members with quotes and colon; no base has one of the last k.
        members: n * k values, those of an object together.
    """
    count = len(base.offsets) - 1
    prefix = JsonValues.of(names)
    room = len(base.data) + len(members.data) + count * (len(prefix.data) + len(names) + 2)
    out = np.empty(room, np.uint8)
    offsets = np.zeros(count + 1, np.int64)
    depth = np.zeros(count, np.int64)
    compose_all(
        base.data,
        base.offsets,
        members.data,
        members.offsets,
        prefix.data,
        prefix.offsets,
        out,
        offsets,
        depth,
    )
    return JsonObjects(_array(out, offsets, offsets[1:] > offsets[:-1]), depth)


def _array(data: Bytes, offsets: Offsets, valid: Mask) -> pa.LargeStringArray:
    mask = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.LargeStringArray.from_buffers(
        len(valid), pa.py_buffer(offsets), pa.py_buffer(data[: offsets[-1]]), mask
    )
