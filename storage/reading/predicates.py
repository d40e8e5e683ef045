"""Conditions on columns, and the row groups and rows that meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["Comparison", "Predicate", "Value", "matching_groups", "matching_rows"]

Value = bool | int | str | datetime


class Comparison(StrEnum):
    """How a column is compared with values."""

    EQUAL = "="
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    IN = "in"
    STARTS_WITH = "starts with"


_ARROW: Mapping[Comparison, Callable[[pa.Array, pa.Scalar], pa.Array]] = MappingProxyType(
    {
        Comparison.EQUAL: pc.equal,
        Comparison.LESS: pc.less,
        Comparison.LESS_EQUAL: pc.less_equal,
        Comparison.GREATER: pc.greater,
        Comparison.GREATER_EQUAL: pc.greater_equal,
    }
)


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on one column; a null never meets it.

    Attributes:
        column: a top-level column of integers, strings, booleans or times.
        comparison: how it is compared.
        values: what it is compared with: one value, or any number for ``IN``.
    """

    column: str
    comparison: Comparison
    values: tuple[Value, ...]

    def may_match(self, low: Value, high: Value) -> bool:
        """Whether any value from ``low`` to ``high`` can meet the condition."""
        return any(self._meets(value, low, high) for value in self.values)

    def _meets(self, value: Value, low: Value, high: Value) -> bool:
        match self.comparison:
            case Comparison.EQUAL | Comparison.IN:
                return low <= value <= high  # type: ignore[operator]
            case Comparison.LESS:
                return low < value  # type: ignore[operator]
            case Comparison.LESS_EQUAL:
                return low <= value  # type: ignore[operator]
            case Comparison.GREATER:
                return high > value  # type: ignore[operator]
            case Comparison.GREATER_EQUAL:
                return high >= value  # type: ignore[operator]
            case Comparison.STARTS_WITH:
                prefix = str(value)
                return str(low)[: len(prefix)] <= prefix <= str(high)


def matching_groups(
    metadata: pq.FileMetaData, groups: Iterable[int], predicates: Sequence[Predicate]
) -> list[int]:
    """The row groups that can have a row that meets all predicates."""
    names = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    placed = [(names.index(each.column), each) for each in predicates if each.column in names]
    return [
        group
        for group in groups
        if all(_may_match(metadata.row_group(group).column(place), p) for place, p in placed)
    ]


def _may_match(chunk: pq.ColumnChunkMetaData, predicate: Predicate) -> bool:
    if not chunk.is_stats_set or not chunk.statistics.has_min_max:
        return True
    return predicate.may_match(chunk.statistics.min, chunk.statistics.max)


def matching_rows(batch: pa.RecordBatch, predicates: Iterable[Predicate]) -> pa.RecordBatch:
    """The rows of a batch that meet all predicates."""
    for predicate in predicates:
        batch = batch.filter(_mask(batch.column(predicate.column), predicate))
    return batch


def _mask(column: pa.Array, predicate: Predicate) -> pa.Array:
    if predicate.comparison is Comparison.IN:
        return pc.is_in(column, pa.array(predicate.values, column.type))
    if predicate.comparison is Comparison.STARTS_WITH:
        return pc.starts_with(column, str(predicate.values[0]))
    return _ARROW[predicate.comparison](column, pa.scalar(predicate.values[0], column.type))
