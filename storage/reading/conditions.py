"""Conditions as text and as Iceberg expressions; imports PyIceberg, which workers never need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

import pyarrow as pa
from pyiceberg import expressions
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression

from strata.errors import SettingsError
from strata.storage.reading.predicates import Comparison, Predicate, Value

__all__ = ["as_expression", "parse_condition"]

_KINDS: Mapping[Comparison, str] = MappingProxyType(
    {
        Comparison.EQUAL: "EqualTo",
        Comparison.LESS: "LessThan",
        Comparison.LESS_EQUAL: "LessThanOrEqual",
        Comparison.GREATER: "GreaterThan",
        Comparison.GREATER_EQUAL: "GreaterThanOrEqual",
        Comparison.IN: "In",
        Comparison.STARTS_WITH: "StartsWith",
    }
)


def as_expression(predicates: Iterable[Predicate]) -> BooleanExpression:
    """The conjunction of all predicates, as an expression for Iceberg's manifests."""
    whole: BooleanExpression = AlwaysTrue()
    for predicate in predicates:
        whole = And(whole, _expression(predicate))
    return whole


def _expression(predicate: Predicate) -> BooleanExpression:
    # Type checkers see the signatures of pydantic here.
    kind: Any = getattr(expressions, _KINDS[predicate.comparison])
    is_list = predicate.comparison is Comparison.IN
    whole: BooleanExpression = kind(
        predicate.column, predicate.values if is_list else predicate.values[0]
    )
    return whole


def parse_condition(text: str, schema: pa.Schema) -> tuple[Predicate, ...]:
    """Read a condition such as ``doc_id >= 5 and source in ('web', 'wiki') and id like 'a%'``.

    Args:
        text: comparisons of columns with values, joined by ``and``; empty for no condition.
        schema: the schema of the table.

    Raises:
        SettingsError: the text is not such a condition, or compares a column without bounds.
    """
    from pyiceberg.expressions.parser import parse
    from pyparsing import ParseException

    if not text.strip():
        return ()
    try:
        whole = parse(text)
    except (ParseException, ValueError):
        raise _refused(f"{text!r} is no condition") from None
    return tuple(_typed(_read(each, text), schema) for each in _joined(whole))


def _joined(expression: BooleanExpression) -> Iterator[BooleanExpression]:
    if isinstance(expression, And):
        yield from _joined(expression.left)
        yield from _joined(expression.right)
    else:
        yield expression


def _read(expression: BooleanExpression, text: str) -> Predicate:
    comparison = {name: each for each, name in _KINDS.items()}.get(type(expression).__name__)
    if comparison is None:
        raise _refused(f"{type(expression).__name__} in {text!r} cannot be answered by bounds")
    leaf = cast("Any", expression)
    literals = leaf.literals if comparison is Comparison.IN else [leaf.literal]
    values = sorted(literal.value for literal in literals)
    return Predicate(leaf.term.name, comparison, tuple(values))


def _typed(predicate: Predicate, schema: pa.Schema) -> Predicate:
    """The predicate with its values in the column's type."""
    names = [field.name for field in schema if _can_bound(field.type)]
    if predicate.column not in names:
        raise _refused(
            f"column {predicate.column!r} has no bounds to choose by; {', '.join(names)} have"
        )
    kind = schema.field(predicate.column).type
    if pa.types.is_timestamp(kind):
        predicate = replace(predicate, values=tuple(map(_moment, predicate.values)))
        if predicate.comparison is Comparison.STARTS_WITH:
            raise _refused(f"column {predicate.column} is no text: it starts with nothing")
    for value in predicate.values:
        try:
            fits = pa.scalar(value, kind).as_py() == value
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            fits = False
        if not fits:
            raise _refused(f"{value!r} is no value of column {predicate.column}, of type {kind}")
    return predicate


def _moment(value: Value) -> Value:
    """A time in ISO 8601, in UTC where it has no zone."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return value
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _can_bound(kind: pa.DataType) -> bool:
    # Not for floating-point columns: bounds do not cover NaN.
    tests = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_timestamp,
    )
    return any(is_kind(kind) for is_kind in tests)


def _refused(reason: str) -> SettingsError:
    return SettingsError(
        reason,
        hint="join comparisons (=, <, <=, >, >=, in, between, like 'start%') of columns with "
        "values by `and`; ask for the rest of the result",
    )
