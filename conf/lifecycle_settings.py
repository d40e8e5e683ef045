"""The settings of lifecycle rules: which files belong in which tier."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import Field, field_validator, model_validator

from strata.model import Model
from strata.partition_settings import TIME_COLUMNS
from strata.storage_settings import TierSettings, known_tables

__all__ = ["Bound", "LifecycleRule", "spill_cycle"]

_BOUND = re.compile(r"\s*(?P<column>[A-Za-z_]\w*)\s*(?P<sign><=|>=|<|>)\s*(?P<value>\S+)\s*")
_LONGEST = 36_500.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bound:
    """One condition of ``where``, such as ``n_tokens < 200``.

    Attributes:
        column: a numeric or time column of the table, or a field of its partitions.
        sign: <, <=, > or >=.
        value: what it is compared with; a time in microseconds since 1970, UTC.
    """

    column: str
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Bound:
        """Read a condition.

        Raises:
            ValueError: the text is not a condition.
        """
        found = _BOUND.fullmatch(text)
        if found is not None:
            read = _microseconds if found["column"] in TIME_COLUMNS else _number
            with suppress(ValueError):
                return cls(found["column"], found["sign"], read(found["value"]))
        raise ValueError(
            f"{text!r} is no condition: write a column, one of < <= > >=, and a number, or a date "
            'for `created`, as in "n_tokens < 200" or "created < 2020-01-01"'
        )


def _number(text: str) -> float:
    value = float(text)
    if math.isnan(value):
        raise ValueError
    return value


def _microseconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return float((aware - _EPOCH) // timedelta(microseconds=1))


class LifecycleRule(Model):
    """One ``[[lifecycle]]`` section: files that meet all its conditions go to a tier.

    The first rule that a file meets decides; a file that meets none stays where it is.
    """

    to: str = Field(min_length=1)
    """Tier that the files go to."""
    tables: tuple[str, ...] = ()
    """Tables whose files the rule applies to; every table unless given."""
    partition: dict[str, bool | int | float | str] = Field(default={})
    """Values that the file's partition must have, by field."""
    tags: tuple[str, ...] = ()
    """Globs: a tag with a matching name refers to the file, whatever else refers to it."""
    only_tags: tuple[str, ...] = ()
    """Globs: tags with matching names refer to the file, and neither the present table nor anything
    else does."""
    older_than_days: float | None = Field(default=None, ge=0, le=_LONGEST)
    """Days since the file's newest row came into the corpus, whatever has rewritten it since."""
    unread_for_days: float | None = Field(default=None, ge=0, le=_LONGEST)
    """Days without a read of the file; for one that was never read, since its newest row came."""
    reads_at_least: int | None = Field(default=None, ge=0)
    """Smallest number of tasks that read the file within `within_days`."""
    reads_at_most: int | None = Field(default=None, ge=0)
    """Largest number of tasks that read the file within `within_days`."""
    within_days: int = Field(default=30, ge=1, le=366)
    """Days that `reads_at_least` and `reads_at_most` look back."""
    larger_than_mb: float | None = Field(default=None, ge=0)
    """Size of the file on disk, in MB, above which the rule applies."""
    smaller_than_mb: float | None = Field(default=None, ge=0)
    """Size of the file on disk, in MB, below which the rule applies."""
    where: tuple[str, ...] = ()
    """Conditions that every row of the file meets, by the catalog's bounds of a numeric column or
    of `created`, or by the file's partition: "n_tokens < 200", "created < 2020-01-01"."""

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_tables(value)

    @field_validator("where")
    @classmethod
    def _bounds_parse(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            Bound.parse(text)
        return value

    @model_validator(mode="after")
    def _can_hold(self) -> LifecycleRule:
        least, most = self.reads_at_least, self.reads_at_most
        if least is not None and most is not None and least > most:
            raise ValueError(f"no file is read at least {least} and at most {most} times")
        large, small = self.larger_than_mb, self.smaller_than_mb
        if large is not None and small is not None and large >= small:
            raise ValueError(f"no file is larger than {large} MB and smaller than {small} MB")
        return self

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The conditions of `where`."""
        return tuple(Bound.parse(text) for text in self.where)


def spill_cycle(tiers: Mapping[str, TierSettings]) -> list[str]:
    """Tiers that spill into one another in a cycle, in order; empty where none do."""
    for start in tiers:
        chain = [start]
        while (below := tiers[chain[-1]].spill_to) in tiers:
            if below in chain:
                return [*chain[chain.index(str(below)) :], str(below)]
            chain.append(str(below))
    return []
