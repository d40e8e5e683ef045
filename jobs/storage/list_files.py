"""`strata storage files`: the data files of the tables, for engines that read lists of files."""

from __future__ import annotations

import argparse

from strata.errors import SettingsError
from strata.jobs.display.facts import CommandResult, print_result
from strata.settings import Settings
from strata.storage.layout.records import TableFile
from strata.storage.lifecycle.usage import tier_of_file
from strata.storage.tables.catalog import Corpus
from strata.storage.writing.tiers import tiers_of

__all__ = ["run"]


def run(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Print the files, table by table, in the order of the document ids.

    Raises:
        SettingsError: there is no such table or snapshot.
    """
    if arguments.snapshot and not arguments.table:
        raise SettingsError(
            f"--snapshot {arguments.snapshot} needs --table: every table has snapshots of its own",
            hint="name the table; `strata storage snapshots` lists them all",
        )
    tiers = tiers_of(settings)
    rows: list[dict[str, object]] = []
    n_rows = n_bytes = 0
    for name in [arguments.table] if arguments.table else corpus.existing_tables():
        table = corpus.table(name)
        files = table.files(table.snapshot_id(arguments.snapshot or ""))
        rows += [_file_row(name, tier_of_file(file, tiers), file) for file in files]
        n_rows += sum(file.rows for file in files)
        n_bytes += sum(file.n_bytes for file in files)
    totals = {"corpus": corpus.name, "count": len(rows), "rows": n_rows, "bytes": n_bytes}
    facts = CommandResult(
        "files",
        ("table", "tier", "rows", "bytes", "url"),
        rows,
        totals,
        "files: {count:,}, rows: {rows:,}, bytes: {bytes:,}",
        by=("table", "tier"),
    )
    print_result(facts, output=arguments.output, listed=arguments.listed)


def _file_row(table: str, tier: str, file: TableFile) -> dict[str, object]:
    return {
        "table": table,
        "tier": tier,
        "rows": file.rows,
        "bytes": file.n_bytes,
        "url": file.url,
    }
