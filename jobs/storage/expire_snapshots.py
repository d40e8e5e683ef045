"""`strata storage expire`: expiring old snapshots."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from functools import partial

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.storage.rows import snapshot_row
from strata.settings import Settings
from strata.storage.cleanup.expiry import expirable, expire
from strata.storage.tables.catalog import Corpus

__all__ = ["run"]


def run(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Expire snapshots that are older than the given age, and print them."""
    limit = datetime.now(UTC) - arguments.older_than
    change = partial(expirable if arguments.dry_run else expire, keep_last=arguments.keep_last)
    rows = [
        snapshot_row(name, snapshot)
        for name in corpus.existing_tables()
        for snapshot in change(corpus.table(name), limit)
    ]
    sentence = f"snapshots {'to expire' if arguments.dry_run else 'expired'}: {len(rows):,}"
    if rows and not arguments.dry_run:
        sentence += "; `strata storage gc` deletes the files that only they needed"
    totals = {"corpus": corpus.name, "dry_run": arguments.dry_run}
    columns = ("table", "snapshot", "time", "operation", "rows", "run")
    print_result(CommandResult("expired", columns, rows, totals, sentence), output=arguments.output)
