"""Iceberg's partition specs: which one a file belongs to, for good, and what it says.

A file stays under the spec that it was written under, however often the setting changes: under
another one its values would mean something else, and filtered reads would lose its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionSpec
from pyiceberg.partitioning import PartitionField as IcebergField
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AssertDefaultSpecId,
    AssertLastAssignedPartitionId,
    SetDefaultSpecUpdate,
)
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
from strata.storage.parquet import WrittenFile
from strata.storage.partitions.partitioning import Partition, Value, calendar_number, calendar_part
from strata.storage.publish import repeat_lost_races
from strata.storage.table import CorpusTable

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableUpdate

__all__ = [
    "fields_by_spec",
    "iceberg_spec",
    "partition_of",
    "record_of",
    "spec_of",
    "table_for_files",
    "write_under",
]


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
    """The fields of each spec that the table ever had, by its id.

    Raises:
        ConflictError: another writer partitioned the table in a way that Strata does not know.
    """
    schema = metadata.schema()
    return {
        number: tuple(_field(schema, each) for each in spec.fields)
        for number, spec in metadata.specs().items()
    }


def spec_of(metadata: TableMetadata, fields: tuple[PartitionField, ...]) -> int | None:
    """Id of the spec with these fields in this order; None where the table never had it."""
    known = fields_by_spec(metadata)
    return next((number for number, theirs in known.items() if theirs == fields), None)


def partition_of(file: DataFile, specs: Mapping[int, tuple[PartitionField, ...]]) -> Partition:
    """The values of a file, under its own spec."""
    fields = specs[file.spec_id]
    values = (_value(field, file.partition[place]) for place, field in enumerate(fields))
    return Partition(fields, tuple(values))


def _value(field: PartitionField, stored: Value) -> Value:
    if stored is None or not field.transform.is_of_time:
        return stored
    return calendar_part(field.transform, int(stored))


def record_of(partition: Partition) -> Record:
    """The values as Iceberg keeps them."""
    return Record(
        *(
            calendar_number(field.transform, value)
            if field.transform.is_of_time and value is not None
            else value
            for field, value in zip(partition.fields, partition.key, strict=True)
        )
    )


def table_for_files(table: CorpusTable, files: Iterable[WrittenFile]) -> Table:
    """The Iceberg table, made now if need be, with a spec for each of the files."""
    wanted = dict.fromkeys(file.partition.fields for file in files)
    iceberg = table.iceberg(next(iter(wanted), ()))
    missing = [fields for fields in wanted if spec_of(iceberg.metadata, fields) is None]
    for fields in missing:
        write_under(table, fields)
    return table.iceberg() if missing else iceberg


def write_under(table: CorpusTable, fields: tuple[PartitionField, ...]) -> None:
    """Make the spec with these fields that of the table's next files; old files keep theirs.

    Raises:
        ConflictError: other writers changed it all the while.
    """
    repeat_lost_races(lambda: _write_under(table, fields))


def _write_under(table: CorpusTable, fields: tuple[PartitionField, ...]) -> None:
    iceberg = table.iceberg(fields)
    metadata = iceberg.metadata
    number = spec_of(metadata, fields)
    if number == metadata.default_spec_id:
        return
    made_default = SetDefaultSpecUpdate.model_validate(
        {"spec-id": -1 if number is None else number}
    )
    updates: tuple[TableUpdate, ...] = (made_default,)
    if number is None:
        updates = (AddPartitionSpecUpdate(spec=_next_spec(metadata, fields)), made_default)
    last = {"last-assigned-partition-id": metadata.last_partition_id}
    requirements = (
        AssertLastAssignedPartitionId.model_validate(last),
        AssertDefaultSpecId.model_validate({"default-spec-id": metadata.default_spec_id}),
    )
    with iceberg.transaction() as transaction:
        transaction._apply(updates, requirements)


def _next_spec(metadata: TableMetadata, fields: tuple[PartitionField, ...]) -> PartitionSpec:
    """A field that a former spec had keeps its id, as the specification asks."""
    known = {
        (each.source_id, str(each.transform)): each.field_id
        for spec in metadata.specs().values()
        for each in spec.fields
    }
    fresh = max(PARTITION_FIELD_ID_START - 1, metadata.last_partition_id or 0)
    made = []
    for each in iceberg_spec(metadata.schema(), fields).fields:
        number = known.get((each.source_id, str(each.transform)))
        if number is None:
            number = fresh = fresh + 1
        made.append(each.model_copy(update={"field_id": number}))
    return PartitionSpec(*made, spec_id=max(metadata.specs()) + 1)


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
