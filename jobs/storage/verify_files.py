"""`strata storage verify`: the files against the catalog."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from strata.errors import InputError
from strata.jobs.runtime.facts import Facts, show_facts
from strata.jobs.runtime.progress import BarProgress, LineProgress, QuietProgress, TaskCount
from strata.settings import Settings
from strata.storage.catalog import Corpus
from strata.storage.verify import FileCheck, Verification, VerifyLevel, verify

__all__ = ["run"]


class _CheckedFiles(TaskCount):
    """How many files have been checked, for the progress display."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def read(self) -> tuple[int, int]:
        """Checked files and all files."""
        return self.done, self.total

    def count(self, _: FileCheck) -> None:
        """One more is checked."""
        self.done += 1


def run(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Read every file, and print those that are not as the catalog says.

    Raises:
        InputError: there is one.
    """
    files = [file for name in corpus.existing_tables() for file in corpus.table(name).files()]
    count = _CheckedFiles(len(files))
    progress = _progress(count, arguments)
    progress.start("verify", "read every file", count.total)
    try:
        found = verify(corpus, corpus.store, VerifyLevel.FULL, count.count)
    finally:
        progress.finish()
    rows = [
        {"table": c.table, "finding": str(c.finding), "url": c.file.url, "detail": c.detail}
        for c in found.findings
    ]
    totals = {
        "corpus": corpus.name,
        "files": found.files,
        "rows": found.rows,
        "bytes": found.n_bytes,
    }
    sentence = f"files read: {{files:,}}, rows: {{rows:,}}, findings: {len(rows):,}"
    facts = Facts("findings", ("table", "finding", "detail", "url"), rows, totals, sentence)
    show_facts(facts, output=arguments.output)
    _raise_findings(corpus.name, found)


def _progress(
    count: _CheckedFiles, arguments: argparse.Namespace
) -> BarProgress | LineProgress | QuietProgress:
    if arguments.quiet:
        return QuietProgress()
    if sys.stderr.isatty():
        return BarProgress(count, Console(stderr=True))
    return LineProgress(count, sys.stderr)


def _raise_findings(corpus: str, found: Verification) -> None:
    if found.findings:
        first = found.findings[0]
        raise InputError(
            f"{len(found.findings)} of {found.files} files of corpus {corpus} are not as the "
            f"catalog says; the first, of table {first.table}, is {first.file.url}: "
            f"{first.finding}: {first.detail}",
            hint="put the file back from a copy of its store; without one, build the corpus "
            "again under another name or in another warehouse",
        )
