"""`strata storage verify`: check the files against the catalog, and rebuild damaged ones."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from strata.errors import InputError, SettingsError
from strata.jobs.command.arguments import verbosity
from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.runner.options import RunOptions
from strata.jobs.runner.progress import TaskCount, progress_for
from strata.jobs.storage.stage_context import stage_context
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.maintenance.verify import verify_on_cluster
from strata.pipelines.repair.affected import AffectedRows, find_affected
from strata.pipelines.repair.run import RepairMode, RepairResult, RepairStatus, repair
from strata.settings import Settings
from strata.storage.cleanup.garbage import refuse_lost_tables
from strata.storage.integrity.foreign_files import foreign_files
from strata.storage.integrity.verify import FileCheck, Finding, Verification, verify_files
from strata.storage.layout.records import TableFile
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.held_files import corpus_files
from strata.storage.writing.tiers import tiers_of
from strata.tables import table_names

__all__ = ["run"]

COLUMNS = ("table", "finding", "rows", "documents", "detail", "url")
SHOWN = 3
HINT = (
    "run `strata storage verify FILE --repair`, which makes anew what it can; put the others back "
    "from a copy of their store; delete a foreign file, or move it elsewhere"
)
FOREIGN_HINT = "move it elsewhere, or `strata storage gc` deletes it once it is old enough"
PLANNED_HINT = "run the same command without --dry-run, which makes anew what it can"
REPAIRED_HINT = (
    "nothing else holds these rows: put the files back from a copy of their store, or the input "
    "files as they were, and run the same command again; delete a tag that alone names one; delete "
    "a foreign file, or move it"
)


class _CheckedFiles(TaskCount):
    """How many files have been checked, for the progress display."""

    def __init__(self, total: int) -> None:
        super().__init__(lambda: None)
        self.total = total
        self.done = 0

    def read(self) -> tuple[int, int]:
        """Checked files and all files."""
        return self.done, self.total

    def count(self, _: FileCheck) -> None:
        """Count one more checked file."""
        self.done += 1


def run(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Check every file, and print those with a finding, and what they held.

    Raises:
        ConflictError: there are files of a table that the catalog does not know.
        InputError: there is a damaged file that was not rebuilt.
        SettingsError: there is no such table, or there are no tables.
    """
    tables = _tables(arguments)
    refuse_lost_tables(corpus, tiers_of(settings).values())
    if not corpus.existing_tables():
        # A misspelled name must not pass for a sound corpus.
        raise SettingsError(
            f"corpus {corpus.name} has no tables in {corpus.warehouse}: nothing was verified",
            hint="check `corpus`, `warehouse` and [catalog]; a new corpus needs `strata run` first",
        )
    with stage_context(settings, corpus, arguments) as context:
        found = _verify(context, arguments, tables)
        found.findings += _foreign_files(settings, corpus, tables)
        affected = {each.url: each for each in find_affected(corpus, corpus.store, found.findings)}
        mended: Mapping[str, RepairResult] = {}
        if arguments.repair:
            mended = {each.url: each for each in repair(context, found.findings, _mode(arguments))}
    rows = [
        _row(check, affected.get(check.file.url), mended.get(check.file.url))
        for check in found.findings
    ]
    _show(corpus.name, found, rows, arguments)
    ok = (RepairStatus.REBUILT, RepairStatus.CLEARED)
    done = {url for url, each in mended.items() if each.outcome in ok}
    _raise_findings(corpus.name, [c for c in found.findings if c.file.url not in done], arguments)


def _tables(arguments: argparse.Namespace) -> Sequence[str]:
    if arguments.table is None:
        return table_names()
    if arguments.table not in table_names():
        raise SettingsError(
            f"there is no table {arguments.table!r}", hint=f"use one of {', '.join(table_names())}"
        )
    return (arguments.table,)


def _mode(arguments: argparse.Namespace) -> RepairMode:
    return RepairMode.PLAN if arguments.dry_run else RepairMode.PUBLISH


def _verify(
    context: StageContext, arguments: argparse.Namespace, tables: Sequence[str]
) -> Verification:
    if arguments.master:
        return verify_on_cluster(context, arguments.level, tables)
    files = corpus_files(context.corpus, tables)
    count = _CheckedFiles(len(files))
    options = RunOptions("verify", context.run_id, None, verbosity(arguments))
    progress = progress_for(count, options)
    progress.start("verify", "read every file", count.total)
    try:
        found = verify_files(context.store, files, arguments.level, count.count)
        progress.finish()
        return found
    finally:
        progress.stop()


def _foreign_files(settings: Settings, corpus: Corpus, tables: Sequence[str]) -> list[FileCheck]:
    detail = "no table refers to it, and Strata did not write it"
    return [
        FileCheck(
            stranger.table,
            TableFile(str(stranger.file.url), 0, stranger.file.size, 0, 0, 0, "", None),
            Finding.FOREIGN,
            detail,
            refs=frozenset(),
        )
        for stranger in foreign_files(corpus, tiers_of(settings).values(), tables)
    ]


def _row(
    check: FileCheck, lost: AffectedRows | None, mended: RepairResult | None
) -> dict[str, object]:
    row: dict[str, object] = {
        "table": check.table,
        "finding": str(check.finding),
        "rows": check.file.rows,
        "documents": None,
        "detail": check.detail + _kept_by(check),
        "url": check.file.url,
        "refs": sorted(check.refs),
        "repair": None if mended is None else mended.sentence,
    }
    if lost is not None and lost.first_doc_id is not None:
        named = [name or str(number) for number, name in lost.documents[:SHOWN]]
        more = f" and {lost.rows - len(named):,} more" if lost.rows > len(named) else ""
        row["documents"] = (
            ", ".join(named) + more
            if named
            else f"numbers {lost.first_doc_id} to {lost.last_doc_id}"
        )
        row["affected"] = {
            "first_doc_id": lost.first_doc_id,
            "last_doc_id": lost.last_doc_id,
            "inputs": lost.inputs,
            "documents": [{"doc_id": n, "id": name} for n, name in lost.documents],
        }
    if mended is not None:
        row["repaired"] = {"outcome": str(mended.outcome), "urls": mended.urls}
    return row


def _kept_by(check: FileCheck) -> str:
    return f"; kept by {', '.join(sorted(check.refs))} only" if check.is_kept else ""


def _show(
    corpus: str,
    found: Verification,
    rows: Sequence[Mapping[str, object]],
    arguments: argparse.Namespace,
) -> None:
    totals = {
        "corpus": corpus,
        "level": str(found.level),
        "files": found.files,
        "kept": found.kept,
        "rows": found.rows,
        "bytes": found.n_bytes,
        "without_checksum": found.without_checksum,
    }
    kept = " ({kept:,} of them kept by tags only)" if found.kept else ""
    sentence = f"files checked: {{files:,}}{kept}, rows: {{rows:,}}, findings: {len(rows):,}"
    if found.without_checksum:
        sentence += "; files without a checksum, of other writers: {without_checksum:,}"
    columns = (*COLUMNS, "repair") if arguments.repair else COLUMNS
    print_result(
        CommandResult("findings", columns, rows, totals, sentence), output=arguments.output
    )


def _raise_findings(corpus: str, left: Sequence[FileCheck], arguments: argparse.Namespace) -> None:
    if left:
        first = left[0]
        raise InputError(
            f"{len(left)} file(s) of corpus {corpus} are not as the catalog says; the first, of "
            f"table {first.table}, is {first.file.url}: {first.finding}: {first.detail}",
            hint=_hint(left, arguments),
        )


def _hint(left: Sequence[FileCheck], arguments: argparse.Namespace) -> str:
    if all(check.finding is Finding.FOREIGN for check in left):
        return FOREIGN_HINT
    if not arguments.repair:
        return HINT
    return PLANNED_HINT if arguments.dry_run else REPAIRED_HINT
