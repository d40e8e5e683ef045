"""`strata storage snapshots`: the published states of every table."""

from __future__ import annotations

import argparse

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.storage.rows import snapshot_row
from strata.settings import Settings
from strata.storage.tables.catalog import Corpus

__all__ = ["run"]


def run(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Print the snapshots, table by table."""
    rows = []
    for name in corpus.existing_tables():
        table = corpus.table(name)
        present, tags = table.snapshot_id(), table.tags()
        for snapshot in table.snapshots():
            named = [tag for tag, number in tags.items() if number == snapshot.snapshot_id]
            facts_of = {
                "present": snapshot.snapshot_id == present,
                "tags": ", ".join(sorted(named)),
            }
            rows.append(snapshot_row(name, snapshot) | facts_of)
    columns = ("table", "snapshot", "time", "operation", "rows", "files", "run", "present", "tags")
    facts = CommandResult("snapshots", columns, rows, {"corpus": corpus.name})
    print_result(facts, output=arguments.output)
