"""From columns to JSON text, and to one object per row, a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.readers.json_bytes import WIDTH
from strata.pipelines.readers.json_compose import add_members, bare_members, quote_all
from strata.pipelines.readers.json_scan import MAX_MEMBERS
from strata.pipelines.readers.json_values import DEEPEST

__all__ = [
    "BareMembers",
    "JsonMember",
    "StringParts",
    "bare_of",
    "json_text",
    "members_of",
    "objects_of",
]

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NEWLINE, SPACE, QUOTE, BACKSLASH = b'\n "\\'
LARGE = pa.large_string()


@dataclass(frozen=True, slots=True)
class JsonMember:
    """A member of many objects.

    Attributes:
        name: with quotes and colon; empty where the values bring theirs.
        text: large_string[n], the JSON text of its values; null where an object lacks it.
    """

    name: bytes
    text: pa.LargeStringArray

    @classmethod
    def of(cls, name: str, values: pa.Array) -> JsonMember:
        """The member that a column becomes."""
        return cls(msgspec.json.encode(name) + b":", json_text(values))


@dataclass(frozen=True, slots=True)
class BareMembers:
    """The members of objects that came as JSON text.

    Attributes:
        text: large_string[n], without brackets; null for null.
        odd: bool[n], texts that need a closer look.
    """

    text: pa.LargeStringArray
    odd: Mask


@dataclass(frozen=True, slots=True)
class StringParts:
    """The bytes of strings, their offsets (int64[n + 1]), and which are not null (bool[n])."""

    data: Bytes
    offsets: Places
    valid: Mask

    @classmethod
    def of(cls, text: pa.LargeStringArray) -> StringParts:
        """The parts of an array, which is not copied."""
        _, offsets, body = text.buffers()
        places = np.frombuffer(offsets or bytes(8), np.int64)[text.offset :][: len(text) + 1]
        data = np.frombuffer(body or b"", np.uint8)
        # Kernels are compiled for arrays with the flags of those from a file.
        data.flags.writeable = places.flags.writeable = False
        return cls(data, places, text.is_valid().to_numpy(zero_copy_only=False))


def json_text(values: pa.Array) -> pa.LargeStringArray:
    """The JSON text of each value, null for null: large_string[n].

    Args:
        values: without times and dictionaries, as ``columnar_times.plain_times`` leaves them.
    """
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _quoted(values.cast(LARGE))
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return values.cast(LARGE)
    if pa.types.is_struct(kind) and len(set(kind.names)) == kind.num_fields:
        objects = pc.fill_null(objects_of(members_of(values), len(values)), "{}")
        return pc.if_else(values.is_valid(), objects, pa.scalar(None, LARGE))
    text = msgspec.json.Encoder(enc_hook=repr).encode_lines(values.to_pylist())
    lines = np.flatnonzero(np.frombuffer(text, np.uint8) == NEWLINE) - np.arange(len(values))
    encoded = _strings(np.frombuffer(text.replace(b"\n", b""), np.uint8), np.append(0, lines))
    return pc.if_else(values.is_valid(), encoded, pa.scalar(None, LARGE))


def members_of(values: pa.StructArray) -> list[JsonMember]:
    """The fields of structs that are not null; a null field is a member too."""
    there = values.is_valid()
    members = []
    for field, child in zip(values.type, values.flatten(), strict=True):
        member = JsonMember.of(field.name, child)
        text = pc.if_else(there, pc.fill_null(member.text, "null"), pa.scalar(None, LARGE))
        members.append(JsonMember(member.name, text))
    return members


def objects_of(members: Sequence[JsonMember], count: int) -> pa.LargeStringArray:
    """Objects of those members that are not null, in this order; null where there are none."""
    parts = [StringParts.of(member.text) for member in members]
    sizes = np.zeros(count, np.int64)
    for member, part in zip(members, parts, strict=True):
        size = np.diff(part.offsets)
        # One more for the comma or bracket before it.
        sizes += np.where(part.valid & (size > 0), size + len(member.name) + 1, 0)
    there = sizes > 0
    offsets = np.append(0, np.cumsum(sizes + there))
    out = np.empty(offsets[-1], np.uint8)
    ends = offsets[:-1].copy()
    for member, part in zip(members, parts, strict=True):
        name = np.frombuffer(member.name, np.uint8)
        add_members(name, part.data, part.offsets, part.valid, out, offsets, ends)
    out[ends[there]] = ord("}")
    return pc.if_else(pa.array(there), _strings(out, offsets), pa.scalar(None, LARGE))


def bare_of(text: pa.LargeStringArray, keys: Sequence[str]) -> BareMembers:
    """The members of objects that have none of ``keys``; any other text is odd."""
    parts = StringParts.of(text)
    encoded = [key.encode() for key in keys]
    sizes = np.where(parts.valid, np.diff(parts.offsets), 0)
    out = np.empty(int(sizes.sum()) + 2 * WIDTH, np.uint8)
    offsets, odd = np.zeros(len(text) + 1, np.int64), np.zeros(len(text), np.bool_)
    bare_members(
        parts.data,
        parts.offsets,
        np.frombuffer(b"".join(encoded), np.uint8),
        np.cumsum([len(key) for key in encoded], dtype=np.int64),
        np.empty((MAX_MEMBERS, 4), np.int64),
        np.empty(DEEPEST + 1, np.uint8),
        out,
        offsets,
        odd,
    )
    return BareMembers(_strings(out, offsets), odd & parts.valid)


def _quoted(text: pa.LargeStringArray) -> pa.LargeStringArray:
    parts = StringParts.of(text)
    used = parts.data[parts.offsets[0] : parts.offsets[-1]]
    special = (used < SPACE) | (used == QUOTE) | (used == BACKSLASH)
    room = len(used) + 2 * len(text) + 5 * int(np.count_nonzero(special)) + WIDTH
    out, offsets = np.empty(room, np.uint8), np.zeros(len(text) + 1, np.int64)
    quote_all(parts.data, parts.offsets, out, offsets)
    return pc.if_else(pa.array(parts.valid), _strings(out, offsets), pa.scalar(None, LARGE))


def _strings(data: Bytes, offsets: Places) -> pa.LargeStringArray:
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)
    )
