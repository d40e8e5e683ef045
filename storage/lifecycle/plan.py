"""What `strata storage move` would do: which files it moves, what it saves, how long it takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from strata.errors import SettingsError
from strata.settings import Settings
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.lifecycle.accesses import accesses_folder, read_accesses
from strata.storage.lifecycle.journal import MoveJournal, Throughput, moves_folder, throughputs
from strata.storage.lifecycle.rules import PlannedMove, plan_moves
from strata.storage.lifecycle.tier_facts import cost_month
from strata.storage.lifecycle.usage import usage_of
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.held_files import HeldFile, corpus_files
from strata.storage.writing.tiers import tiers_of
from strata.tables import table_names

__all__ = ["MovePlan", "Route", "plan_of_corpus"]


@dataclass(frozen=True, slots=True)
class Route:
    """Files of one table that move from one tier to another for one reason.

    Attributes:
        table: name of the table.
        source: tier that they are in.
        target: tier that they move to.
        reason: the rule, or that the tier spills.
        files: their number.
        n_bytes: their size on disk.
        seconds: how long earlier moves between these tiers took for as many bytes; None without
            any.
    """

    table: str
    source: str
    target: str
    reason: str
    files: int
    n_bytes: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class MovePlan:
    """The moves to make.

    Attributes:
        moves: the files.
        routes: the same, summed up.
        cost_before: monthly price of the files in the tiers that have a price.
        cost_after: the same after the moves; for recompressed files by the shrinkage that earlier
            moves between the same tiers had.
        unpriced: tiers with files, before or after, whose price the settings do not give.
    """

    moves: tuple[PlannedMove, ...]
    routes: tuple[Route, ...]
    cost_before: float
    cost_after: float
    unpriced: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """How long the moves take; None where a route was never measured."""
        known = [route.seconds for route in self.routes if route.seconds is not None]
        return sum(known) if len(known) == len(self.routes) else None


def plan_of_corpus(settings: Settings, corpus: Corpus) -> MovePlan:
    """The moves that the rules and capacities of the settings require now.

    Raises:
        SettingsError: a rule names a column that no table has.
        MachineError: a tier would hold more than its capacity, and no tier takes the rest.
    """
    files = corpus_files(corpus)
    _check_columns(settings, files)
    history = read_accesses(corpus.store, accesses_folder(corpus.warehouse, corpus.name))
    moves = plan_moves(settings, files, history, time.time_ns() // 1_000_000)
    journal = MoveJournal(corpus.store, moves_folder(corpus.warehouse, corpus.name))
    known = throughputs(journal.rates()) if moves else {}
    before = {name: float(u.all_bytes) for name, u in usage_of(files, tiers_of(settings)).items()}
    after = _bytes_after(before, moves, known)
    return MovePlan(
        tuple(moves),
        _routes(moves, known),
        _cost(settings, before),
        _cost(settings, after),
        _unpriced(settings, before, after),
    )


def _check_columns(settings: Settings, files: Sequence[HeldFile]) -> None:
    fields = {name for held in files for name in held.partition}
    for number, rule in enumerate(settings.lifecycle, start=1):
        columns = {name for table in rule.tables or table_names() for name in SCHEMAS[table].names}
        wanted = [*rule.partition, *(bound.column for bound in rule.bounds)]
        known = fields if files else fields | set(rule.partition)
        for name in wanted:
            if name not in known and (name in rule.partition or name not in columns):
                what = "partition field" if name in rule.partition else "column or partition field"
                raise SettingsError(
                    f"lifecycle rule {number} asks for {name!r}, and no table that it is about has "
                    f"a {what} of this name",
                    hint=f"partition fields: {', '.join(sorted(fields)) or 'none'}",
                )


def _routes(
    moves: Iterable[PlannedMove], known: Mapping[tuple[str, str], Throughput]
) -> tuple[Route, ...]:
    sizes: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for move in moves:
        key = (move.held.table, move.source, move.target, move.reason)
        sizes[key].append(move.n_bytes)
    return tuple(
        Route(*key, len(some), sum(some), _seconds(known.get(key[1:3]), sum(some)))
        for key, some in sizes.items()
    )


def _seconds(known: Throughput | None, n_bytes: int) -> float | None:
    return None if known is None else n_bytes / known.bytes_per_second


def _bytes_after(
    before: Mapping[str, float],
    moves: Iterable[PlannedMove],
    known: Mapping[tuple[str, str], Throughput],
) -> dict[str, float]:
    after = defaultdict(float, before)
    for move in moves:
        throughput = known.get((move.source, move.target))
        after[move.source] -= move.n_bytes
        after[move.target] += move.n_bytes * (throughput.shrinkage if throughput else 1.0)
    return dict(after)


def _cost(settings: Settings, n_bytes: Mapping[str, float]) -> float:
    prices = [cost_month(settings.all_tiers.get(name), size) for name, size in n_bytes.items()]
    return sum(price for price in prices if price is not None)


def _unpriced(settings: Settings, *sides: Mapping[str, float]) -> tuple[str, ...]:
    names = dict.fromkeys(name for side in sides for name, size in side.items() if size)
    tiers = settings.all_tiers
    return tuple(n for n in names if n not in tiers or tiers[n].cost_gb_month is None)
