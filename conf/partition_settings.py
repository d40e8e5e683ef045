"""The settings of partitions: the values by which the rows of a table go to different files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from strata.choices import PARTITIONABLE
from strata.model import Model

__all__ = [
    "TIME_COLUMNS",
    "PartitionField",
    "Transform",
    "WriterSettings",
    "partition_fields",
    "split_fields",
]


class Transform(StrEnum):
    """How a partition value is derived from a column value, as Iceberg defines it."""

    IDENTITY = "identity"
    BUCKET = "bucket"
    TRUNCATE = "truncate"
    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"

    @property
    def is_of_time(self) -> bool:
        """Whether it extracts a part of a date or time, as in ``day(created)``."""
        return self in (Transform.YEAR, Transform.MONTH, Transform.DAY, Transform.HOUR)

    @property
    def has_width(self) -> bool:
        """Whether it takes a number, as in ``bucket(16, id)``."""
        return self in (Transform.BUCKET, Transform.TRUNCATE)


# In any other column nearly every row has a distinct value, and would get a file of its own.
_REPEATING = frozenset({"source", "lang"})
TIME_COLUMNS = frozenset({"created"})
_WIDEST = {Transform.BUCKET: 10_000, Transform.TRUNCATE: 1 << 62}
_CALL = re.compile(
    r"(?P<transform>[a-z]+)\(\s*(?:(?P<width>[0-9]{1,19})\s*,\s*)?(?P<column>\w+)\s*\)"
)
_SYNTAX = (
    'use "COLUMN", "bucket(N, COLUMN)", "truncate(N, COLUMN)", or one of "year(COLUMN)", '
    '"month(COLUMN)", "day(COLUMN)", "hour(COLUMN)"'
)


@dataclass(frozen=True, slots=True)
class PartitionField:
    """One field that a table is partitioned by: each file holds rows with one value of it.

    Attributes:
        transform: how the value is derived from the column.
        column: name of the column.
        width: number of buckets, or the width to truncate to; 0 for other transforms.
    """

    transform: Transform
    column: str
    width: int = 0

    def __str__(self) -> str:
        if self.transform.is_of_time:
            return f"{self.transform}({self.column})"
        if not self.transform.has_width:
            return self.column
        return f"{self.transform}({self.width}, {self.column})"

    @property
    def name(self) -> str:
        """Name in folders and in Iceberg: ``source``, ``id_bucket_16``, ``created_day``."""
        if self.transform.is_of_time:
            return f"{self.column}_{self.transform}"
        short = {Transform.BUCKET: "bucket", Transform.TRUNCATE: "trunc"}.get(self.transform)
        return f"{self.column}_{short}_{self.width}" if short else self.column


def partition_fields(table: str, texts: tuple[str, ...]) -> tuple[PartitionField, ...]:
    """The fields that a table is partitioned by, as settings write them.

    Raises:
        ValueError: a field cannot be read, occurs twice, or makes no sense for the table.
    """
    if table not in PARTITIONABLE:
        raise ValueError(
            f"the table {table!r} cannot be partitioned: only {', '.join(PARTITIONABLE)} can"
        )
    fields = tuple(_field(table, text.strip()) for text in texts)
    twice = next((field for field in fields if fields.count(field) > 1), None)
    if twice is not None:
        raise ValueError(f"the field {str(twice)!r} is there twice: name it once")
    of_time = [field for field in fields if field.transform.is_of_time]
    if len({field.column for field in of_time}) < len(of_time):
        named = ", ".join(str(field) for field in of_time)
        raise ValueError(f"{named} say the same, some more precisely: name one of them")
    return fields


def split_fields(text: str) -> tuple[str, ...]:
    """The fields of a comma-separated list, as in ``source,bucket(16,id)``."""
    return tuple(each.strip() for each in re.split(r",(?![^(]*\))", text) if each.strip())


def _field(table: str, text: str) -> PartitionField:
    found = _CALL.fullmatch(text)
    if found is None and not text.isidentifier():
        raise ValueError(f"the field {text!r} cannot be read: {_SYNTAX}")
    column = found["column"] if found else text
    if column not in PARTITIONABLE[table]:
        raise ValueError(
            f"{table} cannot be partitioned by the column {column!r}: "
            f"use one of {', '.join(PARTITIONABLE[table])}"
        )
    return _of_call(text, found) if found else _of_column(column)


def _of_call(text: str, found: re.Match[str]) -> PartitionField:
    known = (each for each in Transform if each is not Transform.IDENTITY)
    transform = next((each for each in known if each == found["transform"]), None)
    if transform is None:
        raise ValueError(f"there is no transform {found['transform']!r} in {text!r}: {_SYNTAX}")
    if transform.is_of_time != (found["column"] in TIME_COLUMNS):
        kind = "a date" if found["column"] in TIME_COLUMNS else "no date"
        raise ValueError(f"{text!r} cannot be: {found['column']} is {kind}: {_SYNTAX}")
    if transform.has_width != bool(found["width"]):
        raise ValueError(f"the field {text!r} cannot be read: {_SYNTAX}")
    if not transform.has_width:
        return PartitionField(transform, found["column"])
    width = int(found["width"])
    if not 1 <= width <= _WIDEST[transform]:
        raise ValueError(f"the number in {text!r} must be from 1 to {_WIDEST[transform]:,}")
    return PartitionField(transform, found["column"], width)


def _of_column(column: str) -> PartitionField:
    if column in TIME_COLUMNS:
        raise ValueError(
            f"a partition for each {column!r} would be a file for each document: "
            f'use "day({column})", or year, month or hour'
        )
    if column not in _REPEATING:
        raise ValueError(
            f"a partition for each {column!r} would be a file for each document: "
            f'use "bucket(16, {column})" or "truncate(N, {column})"'
        )
    return PartitionField(Transform.IDENTITY, column)


class WriterSettings(Model):
    """``[writers]``: what a task may hold while it writes a partitioned table."""

    open_files: int = Field(default=16, ge=1, le=10_000)
    """Files of a table that a task has open at once; with more partitions it writes more files."""
    pending_mb: float = Field(default=64, gt=0, le=65_536)
    """Rows of a table that a task gathers before it writes those of the largest partitions."""
