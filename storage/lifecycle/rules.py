"""Lifecycle rules: which tier each file belongs in, and which files spill from a full tier."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from strata.errors import MachineError
from strata.lifecycle_settings import Bound, LifecycleRule
from strata.settings import Settings
from strata.storage.layout.records import PRESENT, TableFile
from strata.storage.lifecycle.accesses import DAY_MS, AccessHistory, FileHistory
from strata.storage.lifecycle.usage import tier_of_file
from strata.storage.tables.held_files import HeldFile
from strata.storage.writing.tiers import tiers_of

__all__ = ["MOVED", "SPILL", "PlannedMove", "files_by_tier", "is_met", "plan_moves"]

_GB = 1e9
_MB = 1e6
SPILL = "spill"
MOVED = "move"
"""Prefix of the names of files that a rule has moved into their tier."""


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """A file that belongs in another tier.

    Attributes:
        held: the file.
        source: tier that it is in, or ``ELSEWHERE``.
        target: tier that it moves to.
        reason: ``rule 1`` (the first of the settings), or :data:`SPILL`.
    """

    held: HeldFile
    source: str
    target: str
    reason: str

    @property
    def n_bytes(self) -> int:
        """Size of the file on disk."""
        return self.held.file.n_bytes


@dataclass(slots=True)
class _Seat:
    """The tier where a file is to be."""

    held: HeldFile
    source: str
    tier: str
    reason: str
    warmth: tuple[int, int, str]


def plan_moves(
    settings: Settings, files: Sequence[HeldFile], history: AccessHistory, now_ms: int
) -> list[PlannedMove]:
    """The files that are not where the rules and capacities place them, in their order.

    Args:
        settings: rules and tiers.
        files: all files of the corpus.
        history: the reads of the files.
        now_ms: the time at which ages are measured, milliseconds since 1970, UTC.

    Raises:
        MachineError: a tier would hold more than its capacity, and no tier takes the rest.
    """
    tiers = tiers_of(settings)
    seats = []
    for held in files:
        source, known = tier_of_file(held.file, tiers), history.of(held.name)
        number = _first_rule(settings.lifecycle, held, known, now_ms)
        tier = source if number is None else settings.lifecycle[number].to
        reason = "" if number is None else f"rule {number + 1}"
        warmth = (
            known.last_ms or held.file.created_ms or 0,
            held.file.created_ms or 0,
            held.file.url,
        )
        seats.append(_Seat(held, source, tier, reason, warmth))
    _spill(settings, seats)
    return [
        PlannedMove(seat.held, seat.source, seat.tier, seat.reason)
        for seat in seats
        if seat.tier != seat.source
    ]


def files_by_tier(
    settings: Settings, table: str, files: Iterable[TableFile]
) -> dict[str, list[TableFile]]:
    """Files of a table by the name of the tier that they stay in, by default that of the table.

    A file that a move has put into another tier stays there, as long as a rule or a capacity can
    move files there.
    """
    tiers, destinations = tiers_of(settings), _destinations(settings)
    found: defaultdict[str, list[TableFile]] = defaultdict(list)
    for file in files:
        tier = tier_of_file(file, tiers)
        was_moved = file.location.name.startswith(MOVED) and tier in destinations
        found[tier if was_moved else settings.tier_of(table)].append(file)
    return dict(found)


def _destinations(settings: Settings) -> set[str]:
    spills = {
        tier.spill_to
        for tier in settings.all_tiers.values()
        if tier.capacity_gb is not None and tier.spill_to is not None
    }
    return spills | {rule.to for rule in settings.lifecycle}


def is_met(rule: LifecycleRule, held: HeldFile, known: FileHistory, now_ms: int) -> bool:
    """Whether a file meets all conditions of a rule."""
    return (
        (not rule.tables or held.table in rule.tables)
        and _fits_partition(rule, held)
        and _fits_tags(rule, held)
        and _fits_age(rule, held, known, now_ms)
        and _fits_reads(rule, known, now_ms)
        and _fits_size(rule, held.file.n_bytes)
        and all(_fits_bound(bound, held) for bound in rule.bounds)
    )


def _first_rule(
    rules: Sequence[LifecycleRule], held: HeldFile, known: FileHistory, now_ms: int
) -> int | None:
    met = (number for number, rule in enumerate(rules) if is_met(rule, held, known, now_ms))
    return next(met, None)


def _fits_partition(rule: LifecycleRule, held: HeldFile) -> bool:
    return all(
        name in held.partition and str(held.partition[name]) == str(value)
        for name, value in rule.partition.items()
    )


def _fits_tags(rule: LifecycleRule, held: HeldFile) -> bool:
    tags = held.refs - {PRESENT}
    if rule.tags and not any(_has_name(tag, rule.tags) for tag in tags):
        return False
    if not rule.only_tags:
        return True
    return PRESENT not in held.refs and all(_has_name(tag, rule.only_tags) for tag in tags)


def _has_name(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _fits_age(rule: LifecycleRule, held: HeldFile, known: FileHistory, now_ms: int) -> bool:
    # A file of another writer has no known age: rules about age never move it.
    born = held.file.created_ms
    if rule.older_than_days is not None and not _is_before(born, rule.older_than_days, now_ms):
        return False
    if rule.unread_for_days is None:
        return True
    return _is_before(max(known.last_ms, born or 0) or None, rule.unread_for_days, now_ms)


def _is_before(at_ms: int | None, days: float, now_ms: int) -> bool:
    return at_ms is not None and now_ms - at_ms >= days * DAY_MS


def _fits_reads(rule: LifecycleRule, known: FileHistory, now_ms: int) -> bool:
    if rule.reads_at_least is None and rule.reads_at_most is None:
        return True
    # Today and the days before it.
    reads = known.reads_since(now_ms - (rule.within_days - 1) * DAY_MS)
    most = math.inf if rule.reads_at_most is None else rule.reads_at_most
    return (rule.reads_at_least or 0) <= reads <= most


def _fits_size(rule: LifecycleRule, n_bytes: int) -> bool:
    large = rule.larger_than_mb is None or n_bytes > rule.larger_than_mb * _MB
    return large and (rule.smaller_than_mb is None or n_bytes < rule.smaller_than_mb * _MB)


def _fits_bound(bound: Bound, held: HeldFile) -> bool:
    value = held.partition.get(bound.column)
    if isinstance(value, int | float):
        low = high = float(value)
    elif bound.column in held.bounds:
        low, high = held.bounds[bound.column]
    else:
        return False
    match bound.sign:
        case "<":
            return high < bound.value
        case "<=":
            return high <= bound.value
        case ">":
            return low > bound.value
        case _:
            return low >= bound.value


def _spill(settings: Settings, seats: Sequence[_Seat]) -> None:
    for name in _upper_first(settings):
        tier = settings.all_tiers[name]
        if tier.capacity_gb is None:
            continue
        capacity = tier.capacity_gb * _GB
        inside = sorted((seat for seat in seats if seat.tier == name), key=lambda s: s.warmth)
        excess = sum(seat.held.file.n_bytes for seat in inside) - capacity
        for seat in inside:
            if excess <= 0:
                break
            if tier.spill_to is None:
                raise MachineError(
                    f"tier {name} would hold {capacity + excess:,.0f} bytes of the corpus, and its "
                    f"capacity_gb is {tier.capacity_gb:g}",
                    hint=f"give [tiers.{name}] a larger capacity_gb, or a spill_to",
                )
            seat.tier, seat.reason = tier.spill_to, SPILL
            excess -= seat.held.file.n_bytes


def _upper_first(settings: Settings) -> list[str]:
    """The tiers in an order in which each comes before the one that it spills to."""

    def depth(name: str) -> int:
        below = settings.all_tiers[name].spill_to
        return 0 if below is None else 1 + depth(below)

    return sorted(settings.all_tiers, key=depth, reverse=True)
