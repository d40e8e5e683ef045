"""`strata storage rollback`: returning to an earlier state of the corpus."""

from __future__ import annotations

import argparse

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.runner.launch import new_run_id
from strata.pipelines.maintenance.rollback import plan_rollback, roll_back
from strata.settings import Settings
from strata.storage.tables.catalog import Corpus

__all__ = ["run"]


def run(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Roll the tables back, and print from which snapshot to which.

    Raises:
        SettingsError: there is no such state.
        ConflictError: it would break the corpus, or another run is in progress.
    """
    steps = plan_rollback(corpus, arguments.to)
    if not arguments.dry_run:
        roll_back(corpus, steps, new_run_id())
    rows = [
        {
            "table": step.table,
            "from": str(step.present),
            "to": "empty" if step.target is None else str(step.target),
        }
        for step in steps
    ]
    totals = {
        "corpus": corpus.name,
        "to": arguments.to,
        "dry_run": arguments.dry_run,
        "tables": len(rows),
    }
    verb = "to return" if arguments.dry_run else "returned"
    facts = CommandResult(
        "rolled_back", ("table", "from", "to"), rows, totals, f"tables {verb} to {{to}}: {{tables}}"
    )
    print_result(facts, output=arguments.output)
