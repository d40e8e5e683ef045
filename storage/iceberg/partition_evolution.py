"""Partition evolution: new files may be partitioned by other fields; old ones keep their spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionSpec
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AssertDefaultSpecId,
    AssertLastAssignedPartitionId,
    SetDefaultSpecUpdate,
)

from strata.partition_settings import PartitionField
from strata.storage.iceberg.catalog_errors import retry_lost_races
from strata.storage.iceberg.partition_specs import iceberg_spec, spec_of

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableUpdate

__all__ = ["set_default_spec"]


def set_default_spec(load: Callable[[], Table], fields: tuple[PartitionField, ...]) -> None:
    """Make the spec with these fields the table's default for new files; old files keep theirs.

    Args:
        load: returns the table in its present state.
        fields: the fields of the spec.

    Raises:
        CommitFailedException: other writers kept changing the table.
    """
    retry_lost_races(lambda: _set_default_spec(load(), fields))


def _set_default_spec(table: Table, fields: tuple[PartitionField, ...]) -> None:
    metadata = table.metadata
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
    with table.transaction() as transaction:
        transaction._apply(updates, requirements)


def _next_spec(metadata: TableMetadata, fields: tuple[PartitionField, ...]) -> PartitionSpec:
    """A field that an earlier spec had keeps its id, as the specification requires."""
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
