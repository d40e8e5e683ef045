"""Repairing a corpus, table by table: broken files are replaced by others with the same rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from strata.errors import ConcurrentChangeError
from strata.keys import stage_key
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.repair.plan import plan_repairs
from strata.pipelines.repair.task import RepairTask, RepairTaskResult, run_repair_task
from strata.pipelines.tables.state import CorpusState
from strata.storage.integrity.verify import FileCheck, Finding
from strata.storage.layout.records import PRESENT, TableFile
from strata.storage.lifecycle.accesses import log_file_lineage
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_everywhere
from strata.tables import DECLARED, RepairRule

__all__ = ["RepairMode", "RepairResult", "RepairStatus", "repair"]

VERSION = 1


class RepairMode(StrEnum):
    """Whether a repair is only planned or also published."""

    PLAN = "plan"
    PUBLISH = "publish"


class RepairStatus(StrEnum):
    """What became of a broken file."""

    REBUILT = "rebuilt"
    """Other files hold its rows now."""
    CLEARED = "cleared"
    """Its table is empty now, and the next run rebuilds it from the others."""
    LOST = "lost"
    """Nothing else holds its rows; it is still a part of the table."""
    PLANNED = "planned"
    """Nothing was done."""


_WORST = (RepairStatus.PLANNED, RepairStatus.REBUILT, RepairStatus.CLEARED, RepairStatus.LOST)


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What became of a broken file.

    Attributes:
        table: its table.
        url: the file.
        outcome: the status, for programs.
        sentence: the same as a sentence, for people.
        urls: the files that replace it; several broken files may share them.
    """

    table: str
    url: str
    outcome: RepairStatus
    sentence: str
    urls: tuple[str, ...] = ()


def repair(
    context: StageContext, findings: Sequence[FileCheck], mode: RepairMode
) -> list[RepairResult]:
    """Rebuild broken files whose rows can be had from elsewhere.

    A table changes in one snapshot, in which the same rows are in other files, and so does each tag
    that names just these broken files. Broken files that only a tag names are rebuilt from the
    other tables as that tag names them. A repair that dies leaves files that no table refers to;
    the next repair does the rest.

    Args:
        context: the corpus.
        findings: what `verify` found.
        mode: whether to publish.

    Raises:
        ConflictError: a retraction is not finished, or another writer replaced one of the files.
        TransientError: a store or the catalog did not answer.
    """
    guard = RetractionGuard.begin(context.corpus)
    broken = [check for check in findings if check.finding is not Finding.FOREIGN]
    damaged_urls = frozenset(check.file.url for check in broken)
    repairs: list[RepairResult] = []
    for table in _order():
        checks = [check for check in broken if check.table == table]
        found: defaultdict[str, dict[str, RepairResult]] = defaultdict(dict)
        for ref in _refs(checks):
            state = CorpusState(context.corpus, ref)
            # Files that were repaired along with another state are not named any more.
            left = [file for file in state.files(table) if file.url in damaged_urls]
            for each in (
                _repair_table(context, guard, state, table, left, damaged_urls, mode)
                if left
                else ()
            ):
                found[each.url][ref] = each
        repairs += [_worst_of_states(check, found[check.file.url]) for check in checks]
    return repairs


def _order() -> list[str]:
    """Tables in the order of repair: each after those it is made from and those cleared with it.

    No run rebuilds `retractions`, and every rebuild reads there which documents must not come back.
    """
    names = ["retractions"]
    for table in DECLARED.values():
        names += [name for name in (*table.cleared_with, table.name) if name not in names]
    return names


def _refs(checks: Sequence[FileCheck]) -> list[str]:
    """The present state first: files that a tag keeps may be rebuilt from it."""
    names = {ref for check in checks for ref in check.refs}
    return sorted(names, key=lambda ref: (ref != PRESENT, ref))


def _repair_table(
    context: StageContext,
    guard: RetractionGuard,
    state: CorpusState,
    table: str,
    files: Sequence[TableFile],
    damaged_urls: frozenset[str],
    mode: RepairMode,
) -> list[RepairResult]:
    """Rebuild all broken files that a table has in one state."""
    tasks = plan_repairs(context, state, table, files, damaged_urls)
    if mode is RepairMode.PLAN:
        cleared = _is_made_by_a_run(state, table, damaged_urls)
        done = [_planned(table, file, task, cleared) for task in tasks for file in task.broken]
    else:
        results = _run(context, table, tasks)
        guard.check([table])
        done = _publish(context, state, table, tasks, results, damaged_urls)
    # Sound files may have been replaced together with broken ones.
    return [each for each in done if each.url in damaged_urls]


def _worst_of_states(check: FileCheck, found: Mapping[str, RepairResult]) -> RepairResult:
    """What became of a file that several states name: the worst outcome, and where they differ."""
    if not found:
        raise ConcurrentChangeError(
            f"{check.table} has no file {check.file.url} any more",
            hint="another run replaced it; run the same command again",
        )
    worst = max(found.values(), key=lambda each: _WORST.index(each.outcome))
    first, *others = found.items()
    sentences = [first[1].sentence]
    sentences += [f"in {ref}: {each.sentence}" for ref, each in others]
    if len({each.sentence for each in found.values()}) == 1:
        sentences = sentences[:1]
    urls = dict.fromkeys(url for each in found.values() for url in each.urls)
    return replace(worst, sentence="; ".join(sentences), urls=tuple(urls))


def _is_made_by_a_run(state: CorpusState, table: str, damaged_urls: Collection[str]) -> bool:
    """Whether the next run can make the present table anew, once it is cleared."""
    rule = DECLARED[table].repair
    if rule in (RepairRule.SURVIVORS, RepairRule.TOKENS):
        # Documents that are lost may be found in `clean` yet.
        documents = CorpusState(state.corpus).files("documents")
        return state.is_present and not any(file.url in damaged_urls for file in documents)
    return state.is_present and rule is RepairRule.CLEAR


def _planned(table: str, file: TableFile, task: RepairTask, cleared: bool) -> RepairResult:
    names = ", then ".join(source.name for source in task.sources)
    sentence = f"would be looked for in {names}" if names else "nothing else holds its rows"
    if cleared and not names:
        sentence = "would be cleared, for the next run to make it anew"
    return RepairResult(table, file.url, RepairStatus.PLANNED, sentence)


def _run(context: StageContext, table: str, tasks: Sequence[RepairTask]) -> list[RepairTaskResult]:
    with_source = [task for task in tasks if task.sources]
    if not with_source:
        return [RepairTaskResult() for _ in tasks]
    context.progress.start("repair", f"make files of {table} anew", len(with_source))
    try:
        results = iter(run_tasks(context.spark(), run_repair_task, with_source))
    finally:
        context.progress.finish()
    return [next(results) if task.sources else RepairTaskResult() for task in tasks]


def _publish(
    context: StageContext,
    state: CorpusState,
    table: str,
    tasks: Sequence[RepairTask],
    results: Sequence[RepairTaskResult],
    damaged_urls: Collection[str],
) -> list[RepairResult]:
    done = [(t, r) for t, r in zip(tasks, results, strict=True) if r.files]
    left = [(t, r) for t, r in zip(tasks, results, strict=True) if not r.files]
    if left and _is_made_by_a_run(state, table, damaged_urls):
        # The broken table is cleared last: until then an interrupted repair is done again.
        for name in (*DECLARED[table].cleared_with, table):
            _clear(context, name)
        sentence = "cleared; the next `strata run` makes the table anew"
        return [
            RepairResult(table, file.url, RepairStatus.CLEARED, sentence)
            for task in tasks
            for file in task.broken
        ]
    replaced = [
        Replacement(tuple(file.url for file in task.broken), tuple(result.files))
        for task, result in done
    ]
    log_file_lineage(context.corpus, context.run_id, [each.lineage for each in replaced])
    swapped = replace_everywhere(context.corpus.table(table), replaced, run_id=context.run_id)
    gone = [url for each in replaced for url in each.old if url not in swapped]
    if gone:
        raise ConcurrentChangeError(
            f"{table} has no file {gone[0]} any more",
            hint="another run replaced it; run the same command again",
        )
    again = (
        "; repair again once a run has made the table anew"
        if DECLARED[table].repair is RepairRule.CLEAR
        else ""
    )
    return [
        *(
            RepairResult(
                table,
                file.url,
                RepairStatus.REBUILT,
                f"made anew from {' and '.join(result.origins)}",
                tuple(written.url for written in result.files),
            )
            for task, result in done
            for file in task.broken
        ),
        *(
            RepairResult(table, file.url, RepairStatus.LOST, f"lost: {result.reason}{again}")
            for task, result in left
            for file in task.broken
        ),
    ]


def _clear(context: StageContext, name: str) -> None:
    table = context.corpus.table(name)
    if table.exists():
        publish(
            table,
            [],
            mode=PublishMode.OVERWRITE,
            content_key=stage_key("repair", VERSION, [table.content_key or ""], {"table": name}),
            run_id=context.run_id,
        )
