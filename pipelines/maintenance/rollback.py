"""Rolling a corpus back to an earlier state: that of a tag, or of one of its snapshots.

The tables of a stage are rolled back together; of those of the shard stage, the input manifest
first: after each step the tables are as after a crash of the stage, from which the next run
recovers. Retracted documents do not come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strata.errors import ConcurrentChangeError, ConflictError, SettingsError
from strata.keys import stage_key
from strata.pipelines.lineage.guard import RetractionGuard
from strata.storage.layout.records import TableSnapshot
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.table import CorpusTable
from strata.storage.tables.tags import tags_of
from strata.tables import published_with, table_names

__all__ = ["RollbackStep", "plan_rollback", "roll_back"]

VERSION = 1
RETRACTIONS = "retractions"
INPUTS = "inputs"


@dataclass(frozen=True, slots=True)
class RollbackStep:
    """The rollback of one table.

    Attributes:
        table: its name.
        present: its snapshot now.
        target: the snapshot to return to; None where it had none then, and becomes empty.
    """

    table: str
    present: int
    target: int | None


def plan_rollback(corpus: Corpus, target: str) -> list[RollbackStep]:
    """The tables that differ from a state, in the order in which they return to it.

    Args:
        corpus: the corpus.
        target: a tag, or the id of a snapshot of one table: then the tables that its stage
            published together are rolled back, and all others stay.

    Raises:
        SettingsError: there is no such state.
        ConflictError: documents were retracted since, or a table of the stage has no such state.
    """
    RetractionGuard.begin(corpus)
    wanted = (
        _snapshots_at(corpus, int(target))
        if target.isdecimal()
        else _snapshots_of_tag(corpus, target)
    )
    steps: list[RollbackStep] = []
    for name in _order():
        present = corpus.table(name).snapshot_id()
        if name not in wanted or present in (None, wanted[name]):
            continue
        if wanted[name] is not None or corpus.table(name).files():
            steps.append(RollbackStep(name, present, wanted[name]))
    return steps


def roll_back(corpus: Corpus, steps: list[RollbackStep], run_id: str) -> None:
    """Carry out the steps; results that other writers publish meanwhile are never lost silently.

    Raises:
        ConflictError: a table is not as it was when the steps were planned, or a retraction was
            begun meanwhile.
        TransientError: the catalog did not answer.
    """
    for step in steps:
        RetractionGuard.begin(corpus)
        table = corpus.table(step.table)
        if step.target is None:
            _empty_table(table, step, run_id)
        else:
            table.return_to(step.target, expected=step.present)


def _order() -> list[str]:
    """Downstream tables first; of those that are published with `inputs`, `inputs` first."""
    names = [name for name in reversed(table_names()) if name != RETRACTIONS]
    first = names.index(next(name for name in names if name in published_with(INPUTS)))
    names.remove(INPUTS)
    return [*names[:first], INPUTS, *names[first:]]


def _snapshots_of_tag(corpus: Corpus, name: str) -> Mapping[str, int | None]:
    tags = tags_of(corpus)
    if name not in tags:
        known = ", ".join(sorted(tags)) or "none"
        raise SettingsError(
            f"corpus {corpus.name} has no tag {name!r}", hint=f"its tags are: {known}"
        )
    state = tags[name]
    then = corpus.table(RETRACTIONS)
    named = _snapshot(then, state[RETRACTIONS]).content_key if RETRACTIONS in state else None
    if named != then.content_key:
        raise _retracted(corpus.name, f"the tag {name}")
    return {table: state.get(table) for table in _order()}


def _snapshots_at(corpus: Corpus, number: int) -> Mapping[str, int | None]:
    owner = next(
        (
            name
            for name in corpus.existing_tables()
            if any(each.snapshot_id == number for each in corpus.table(name).snapshots())
        ),
        None,
    )
    if owner is None or owner == RETRACTIONS:
        raise SettingsError(
            f"corpus {corpus.name} has no snapshot {number} that it could return to",
            hint="see `strata storage snapshots`; what was retracted stays retracted",
        )
    meant = _snapshot(corpus.table(owner), number)
    retracted = corpus.table(RETRACTIONS).snapshots()
    if any(each.result_ms >= meant.result_ms for each in retracted):
        raise _retracted(corpus.name, f"snapshot {number}")
    wanted: dict[str, int | None] = {owner: number}
    for name in sorted({*published_with(owner)} - {owner}):
        same = [s for s in corpus.table(name).snapshots() if s.content_key == meant.content_key]
        if not same:
            raise ConflictError(
                f"{name} has no snapshot of the result that snapshot {number} of {owner} is of",
                hint="the tables of a stage return together; it has expired, or its run was "
                "stopped: name another one, or a tag",
            )
        wanted[name] = same[-1].snapshot_id
    return wanted


def _snapshot(table: CorpusTable, number: int) -> TableSnapshot:
    return next(each for each in table.snapshots() if each.snapshot_id == number)


def _retracted(corpus: str, state: str) -> ConflictError:
    return ConflictError(
        f"documents of corpus {corpus} were retracted since {state}, and would come back",
        hint="build the state again from the inputs with `strata run`, which leaves them out",
    )


def _empty_table(table: CorpusTable, step: RollbackStep, run_id: str) -> None:
    if table.snapshot_id() != step.present:
        raise ConcurrentChangeError(
            f"another run published to {table.name} meanwhile",
            hint="let the other run finish, then run the same command again",
        )
    key = stage_key("rollback", VERSION, [table.content_key or ""], {"table": table.name})
    publish(table, [], mode=PublishMode.OVERWRITE, content_key=key, run_id=run_id)
