"""Iceberg's partition specs: the one that a file belongs to for good, and its fields.

A file keeps the spec that it was written under, however often the setting changes: under
another one its values would mean something else, and filtered reads would miss its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionSpec
from pyiceberg.partitioning import PartitionField as IcebergField
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TimeTransform,
    TruncateTransform,
    YearTransform,
)
from pyiceberg.transforms import Transform as IcebergTransform
from pyiceberg.typedef import Record

from strata.errors import ConflictError
from strata.partition_settings import PartitionField, Transform
from strata.storage.layout.partitioning import Partition, Value, calendar_number, calendar_part

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["fields_by_spec", "iceberg_spec", "partition_of", "record_of", "spec_of"]

_OF_TIME: Mapping[Transform, Callable[[], IcebergTransform[Any, Any]]] = MappingProxyType(
    {
        Transform.YEAR: YearTransform,
        Transform.MONTH: MonthTransform,
        Transform.DAY: DayTransform,
        Transform.HOUR: HourTransform,
    }
)


def iceberg_spec(schema: Schema, fields: Iterable[PartitionField]) -> PartitionSpec:
    """The first spec of a table."""
    return PartitionSpec(
        *(
            IcebergField(
                schema.find_field(field.column).field_id,
                PARTITION_FIELD_ID_START + place,
                _transform(field),
                field.name,
            )
            for place, field in enumerate(fields)
        )
    )


def fields_by_spec(metadata: TableMetadata) -> Mapping[int, tuple[PartitionField, ...]]:
    """The fields of each spec that the table has ever had, by the spec's id.

    Raises:
        ConflictError: another writer partitioned the table in a way that Strata does not know.
    """
    schema = metadata.schema()
    return {
        number: tuple(_field(schema, each) for each in spec.fields)
        for number, spec in metadata.specs().items()
    }


def spec_of(metadata: TableMetadata, fields: tuple[PartitionField, ...]) -> int | None:
    """Id of the spec with these fields in this order; None where the table has never had it."""
    known = fields_by_spec(metadata)
    return next((number for number, theirs in known.items() if theirs == fields), None)


def partition_of(file: DataFile, specs: Mapping[int, tuple[PartitionField, ...]]) -> Partition:
    """The partition values of a file, under its own spec."""
    fields = specs[file.spec_id]
    values = (_value(field, file.partition[place]) for place, field in enumerate(fields))
    return Partition(fields, tuple(values))


def _value(field: PartitionField, stored: Value) -> Value:
    if stored is None or not field.transform.is_of_time:
        return stored
    return calendar_part(field.transform, int(stored))


def record_of(partition: Partition) -> Record:
    """The values as Iceberg stores them."""
    return Record(
        *(
            calendar_number(field.transform, value)
            if field.transform.is_of_time and value is not None
            else value
            for field, value in zip(partition.fields, partition.key, strict=True)
        )
    )


def _transform(field: PartitionField) -> IcebergTransform[Any, Any]:
    match field.transform:
        case Transform.IDENTITY:
            return IdentityTransform()
        case Transform.BUCKET:
            return BucketTransform(field.width)
        case Transform.TRUNCATE:
            return TruncateTransform(field.width)
        case _:
            return _OF_TIME[field.transform]()


def _field(schema: Schema, field: IcebergField) -> PartitionField:
    column = schema.find_column_name(field.source_id)
    match field.transform:
        case IdentityTransform() if column:
            return PartitionField(Transform.IDENTITY, column)
        case BucketTransform(num_buckets=width) if column:
            return PartitionField(Transform.BUCKET, column, width)
        case TruncateTransform(width=width) if column:
            return PartitionField(Transform.TRUNCATE, column, width)
        case TimeTransform() if column:
            return PartitionField(Transform(str(field.transform)), column)
    raise ConflictError(
        f"another writer partitioned the table by {field.name} ({field.transform}), which Strata "
        "does not know",
        hint="read the table with the engine that did, or restore its former spec",
    )
