"""`strata storage snapshots`: the published states of every table."""

from __future__ import annotations

import argparse

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.storage.rows import snapshot_row
from strata.settings import Settings
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.tags import tags_of_table

__all__ = ["run"]


def run(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Print the snapshots, table by table."""
    rows = []
    for name in corpus.existing_tables():
        table = corpus.table(name)
        present = table.existing()
        current = present.current_snapshot() if present else None
        tags = tags_of_table(table)
        for snapshot in table.snapshots():
            is_present = current is not None and current.snapshot_id == snapshot.snapshot_id
            named = [tag for tag, number in tags.items() if number == snapshot.snapshot_id]
            facts_of = {"present": is_present, "tags": ", ".join(sorted(named))}
            rows.append(snapshot_row(name, snapshot) | facts_of)
    columns = ("table", "snapshot", "time", "operation", "rows", "files", "run", "present", "tags")
    facts = CommandResult("snapshots", columns, rows, {"corpus": corpus.name})
    print_result(facts, output=arguments.output)
