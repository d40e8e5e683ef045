"""`strata storage tag`: naming the present state of all tables."""

from __future__ import annotations

import argparse

from strata.jobs.display.facts import CommandResult, print_result
from strata.pipelines.lineage.guard import RetractionGuard
from strata.settings import Settings
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.tags import delete_tag, tag_corpus

__all__ = ["run"]


def run(_: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Set or delete a tag, and print which snapshots it names.

    Raises:
        SettingsError: the name is not allowed, or there is no such tag.
        ConflictError: it names another state, or a retraction is not finished.
    """
    if arguments.delete:
        state, verb = delete_tag(corpus, arguments.name), "deleted"
    else:
        RetractionGuard.begin(corpus)
        state, verb = tag_corpus(corpus, arguments.name), "set"
    rows = [
        {"table": table, "snapshot": str(snapshot), "tag": arguments.name}
        for table, snapshot in state.items()
    ]
    totals = {"corpus": corpus.name, "tag": arguments.name, "tables": len(rows), "action": verb}
    sentence = f"tag {{tag}} {verb} on {{tables}} tables"
    facts = CommandResult("tables_tagged", ("table", "snapshot"), rows, totals, sentence)
    print_result(facts, output=arguments.output)
