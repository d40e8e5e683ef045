"""`strata storage`: look after the tables and their files."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from rich.console import Console

from strata.errors import InputError, SettingsError
from strata.jobs.runtime.facts import Facts, show_facts
from strata.jobs.runtime.progress import BarProgress, LineProgress, QuietProgress, TaskCount
from strata.settings import Settings
from strata.storage.catalog import Corpus, open_corpus
from strata.storage.contract import FileInfo
from strata.storage.maintenance import collect_garbage, expirable, expire, find_orphans
from strata.storage.records import TableSnapshot
from strata.storage.tiers import tiers_of
from strata.storage.usage import tier_usage
from strata.storage.verify import FileCheck, Verification, VerifyLevel, verify

__all__ = ["manage_storage"]


def manage_storage(settings: Settings, arguments: argparse.Namespace) -> None:
    """Carry out ``arguments.action`` and print what it found or did.

    Raises:
        SettingsError: ``--older-than`` is no number of hours.
        InputError: `verify` found a file that is not as the catalog says.
        ConflictError: another writer changed a table meanwhile.
    """
    with open_corpus(settings) as corpus:
        ACTIONS[arguments.action](settings, corpus, arguments)


def _tiers(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    tiers = tiers_of(settings)
    rows = []
    for name, usage in tier_usage(corpus, tiers).items():
        tier = tiers.get(name)
        rows.append(
            {
                "tier": name,
                "files": usage.files,
                "rows": usage.rows,
                "bytes": usage.n_bytes,
                "layout": tier.layout.tag if tier else None,
                "url": str(tier.url) if tier else None,
                "bytes_by_table": usage.bytes_by_table,
            }
        )
    columns = ("tier", "files", "rows", "bytes", "layout", "url")
    facts = Facts("tiers", columns, rows, {"corpus": corpus.name})
    show_facts(facts, output=arguments.output)


def _snapshots(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    rows = []
    for name in corpus.existing_tables():
        table = corpus.table(name)
        present = table.existing()
        current = present.current_snapshot() if present else None
        for snapshot in table.snapshots():
            is_present = current is not None and current.snapshot_id == snapshot.snapshot_id
            rows.append(_snapshot_row(name, snapshot) | {"present": is_present})
    columns = ("table", "snapshot", "time", "operation", "rows", "files", "run", "present")
    facts = Facts("snapshots", columns, rows, {"corpus": corpus.name})
    show_facts(facts, output=arguments.output)


def _snapshot_row(table: str, snapshot: TableSnapshot) -> dict[str, object]:
    return {
        "table": table,
        # As text: JSON readers that know doubles only would change it.
        "snapshot": str(snapshot.snapshot_id),
        "time": _iso(snapshot.timestamp_ms / 1e3),
        "operation": snapshot.operation,
        "rows": int(snapshot.properties.get("total-records", 0)),
        "files": int(snapshot.properties.get("total-data-files", 0)),
        "run": snapshot.run_id,
        "content_key": snapshot.content_key,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


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


def _verify(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
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


def _expire(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    limit = datetime.now(UTC) - _age(arguments)
    change = expirable if arguments.dry_run else expire
    rows = [
        _snapshot_row(name, snapshot)
        for name in corpus.existing_tables()
        for snapshot in change(corpus.table(name), limit)
    ]
    sentence = f"snapshots {'to expire' if arguments.dry_run else 'expired'}: {len(rows):,}"
    if rows and not arguments.dry_run:
        sentence += "; `strata storage gc` deletes the files that only they needed"
    totals = {"corpus": corpus.name, "dry_run": arguments.dry_run}
    columns = ("table", "snapshot", "time", "operation", "rows", "run")
    show_facts(Facts("expired", columns, rows, totals, sentence), output=arguments.output)


def _gc(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    orphans = find_orphans(corpus, tiers_of(settings).values(), _age(arguments))
    if not arguments.dry_run:
        collect_garbage(corpus.store, orphans)
    totals = {
        "corpus": corpus.name,
        "dry_run": arguments.dry_run,
        "files": len(orphans),
        "bytes": sum(file.size for file in orphans),
    }
    verb = "to delete" if arguments.dry_run else "deleted"
    facts = Facts(
        "deleted",
        ("bytes", "modified", "url"),
        [_orphan_row(file) for file in orphans],
        totals,
        f"files {verb}: {{files:,}}, with {{bytes:,}} bytes",
    )
    show_facts(facts, output=arguments.output)


def _orphan_row(file: FileInfo) -> dict[str, object]:
    modified = None if file.modified_ns is None else _iso(file.modified_ns / 1e9)
    return {"url": str(file.url), "bytes": file.size, "modified": modified}


def _age(arguments: argparse.Namespace) -> timedelta:
    hours = float(arguments.older_than)
    if not (math.isfinite(hours) and 0 <= hours <= 1e6):
        raise SettingsError(
            f"--older-than {hours} is no number of hours", hint="give a number from 0 on"
        )
    return timedelta(hours=hours)


ACTIONS: Mapping[str, Callable[[Settings, Corpus, argparse.Namespace], None]] = {
    "tiers": _tiers,
    "snapshots": _snapshots,
    "verify": _verify,
    "expire": _expire,
    "gc": _gc,
}
