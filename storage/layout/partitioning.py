"""Partitions: the one that each row belongs to, and the folder of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from strata.partition_settings import PartitionField, Transform
from strata.storage.contracts.url import Url

__all__ = [
    "UNPARTITIONED",
    "Partition",
    "PartitionedRows",
    "Value",
    "calendar_number",
    "calendar_part",
    "partition_rows",
]

Value = str | int | None
# The value that readers of Hive-style folders take for a null.
_NULL = "__HIVE_DEFAULT_PARTITION__"
# Most filesystems limit folder names to 255 bytes.
_LONGEST = 150
_FIRST_YEAR = 1970
# NumPy's names of the units that Iceberg counts since 1970.
_UNITS: Mapping[Transform, Literal["Y", "M", "D", "h"]] = MappingProxyType(
    {Transform.YEAR: "Y", Transform.MONTH: "M", Transform.DAY: "D", Transform.HOUR: "h"}
)


@dataclass(frozen=True, slots=True)
class Partition(Mapping[str, Value]):
    """The values that all rows of a file share, by field name; empty if unpartitioned."""

    fields: tuple[PartitionField, ...] = ()
    key: tuple[Value, ...] = ()

    def __getitem__(self, name: str) -> Value:
        for field, value in zip(self.fields, self.key, strict=True):
            if field.name == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.items())

    @property
    def folder(self) -> str:
        """Path of the folder below that of the table, as in ``source=web/lang=de``.

        For people, and for tools that read folder names; Strata itself uses the catalog.
        """
        return "/".join(f"{name}={_segment(value)}" for name, value in self.items())

    def below(self, folder: Url) -> Url:
        """The folder of the partition below that of the table."""
        return folder / self.folder if self.fields else folder


UNPARTITIONED = Partition()


def _segment(value: Value) -> str:
    if value is None:
        return _NULL
    text = quote(str(value), safe="")
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}-{blake2b(text.encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True, slots=True)
class PartitionedRows:
    """Which partition each row of a batch belongs to.

    Attributes:
        owner: int64[n], index into ``partitions``.
        partitions: the distinct partitions of the batch.
    """

    owner: NDArray[np.int64]
    partitions: tuple[Partition, ...]


def partition_rows(batch: pa.RecordBatch, fields: tuple[PartitionField, ...]) -> PartitionedRows:
    """The partition of each row; reads only the columns of the fields."""
    owner = np.zeros(batch.num_rows, np.int64)
    values: list[tuple[Value, ...]] = [()]
    for field in fields:
        encoded = _transformed(batch, field).dictionary_encode(null_encoding="encode")
        place = encoded.indices.to_numpy()
        distinct: Sequence[Value] = encoded.dictionary.to_pylist()
        # Only combinations that occur are numbered, so numbers stay small even with many fields.
        pairs, owner = np.unique(owner * max(1, len(distinct)) + place, return_inverse=True)
        values = [
            (*values[pair // len(distinct)], distinct[pair % len(distinct)])
            for pair in pairs.tolist()
        ]
    return PartitionedRows(owner, tuple(Partition(fields, each) for each in values))


def _transformed(batch: pa.RecordBatch, field: PartitionField) -> pa.Array:
    column = batch.column(field.column)
    match field.transform:
        case Transform.IDENTITY:
            return column
        case Transform.BUCKET:
            return _bucket(column, field.width)
        case Transform.TRUNCATE:
            return _truncated(column, field.width)
        case _:
            return _calendar_parts(column, field.transform)


def _bucket(column: pa.Array, width: int) -> pa.Array:
    from strata.storage.layout.murmur import hash_numbers, hash_strings

    if pa.types.is_integer(column.type):
        hashes = hash_numbers(_numbers(column))
    else:
        hashes = hash_strings(column)
    buckets = (hashes & np.int32(0x7FFFFFFF)) % np.int32(width)
    return pa.array(buckets, mask=column.is_null().to_numpy(zero_copy_only=False))


def _truncated(column: pa.Array, width: int) -> pa.Array:
    if not pa.types.is_integer(column.type):
        return pc.utf8_slice_codeunits(column, 0, width)
    numbers = _numbers(column)
    return pa.array(numbers - numbers % width, mask=column.is_null().to_numpy(zero_copy_only=False))


def _calendar_parts(column: pa.Array, transform: Transform) -> pa.Array:
    unit = _UNITS[transform]
    micros = np.asarray(column.cast(pa.int64()).fill_null(0)).view("M8[us]")
    # NumPy rounds down, so times before 1970 need no special case.
    steps, place = np.unique(micros.astype(f"M8[{unit}]"), return_inverse=True)
    names = pa.array([calendar_part(transform, step) for step in steps.astype(np.int64).tolist()])
    absent = column.is_null().to_numpy(zero_copy_only=False)
    return names.take(pa.array(place, mask=absent))


def calendar_part(transform: Transform, number: int) -> Value:
    """Iceberg's number of a year, month, day or hour since 1970, as people write it.

    A year is a number, the others are texts: ``2023-05``, ``2023-05-01``, ``2023-05-01-12``.
    """
    if transform is Transform.YEAR:
        return number + _FIRST_YEAR
    return str(np.datetime64(number, _UNITS[transform])).replace("T", "-")


def calendar_number(transform: Transform, part: Value) -> int:
    """Iceberg's number of a part, the inverse of ``calendar_part``."""
    if transform is Transform.YEAR:
        return int(part or 0) - _FIRST_YEAR
    text = str(part)
    if transform is Transform.HOUR:
        text = "T".join(text.rsplit("-", 1))
    return int(np.datetime64(text, _UNITS[transform]).astype(np.int64))


def _numbers(column: pa.Array) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = pc.fill_null(column, 0).to_numpy().astype(np.int64)
    return numbers
