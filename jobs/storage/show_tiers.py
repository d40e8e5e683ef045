"""`strata storage tiers`: what each tier holds and costs, and how full it is."""

from __future__ import annotations

import argparse
import time

from strata.jobs.display.facts import CommandResult, number, print_result
from strata.settings import Settings
from strata.storage.lifecycle.accesses import accesses_folder, read_accesses
from strata.storage.lifecycle.tier_facts import tier_facts
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.held_files import corpus_files
from strata.storage.writing.tiers import tiers_of

__all__ = ["run"]

COLUMNS = (
    *("tier", "files", "rows", "bytes", "kept_bytes", "ratio", "cost_month", "free_bytes"),
    *("reads_30_days", "layout", "url"),
)


def run(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Print the facts of every tier."""
    tiers = tiers_of(settings)
    history = read_accesses(corpus.store, accesses_folder(corpus.warehouse, corpus.name))
    now_ms = time.time_ns() // 1_000_000
    found = tier_facts(settings, corpus.store, corpus_files(corpus), history, now_ms)
    rows = []
    for name, facts in found.items():
        tier, usage = tiers.get(name), facts.usage
        rows.append(
            {
                "tier": name,
                "files": usage.files,
                "rows": usage.rows,
                "bytes": usage.n_bytes,
                "kept_files": usage.kept_files,
                "kept_bytes": usage.kept_bytes,
                "ratio": facts.ratio,
                "ratio_footers": facts.footers,
                "cost_month": facts.cost_month,
                "free_bytes": facts.free_bytes,
                "reads_30_days": facts.reads,
                "layout": tier.layout.tag if tier else None,
                "url": str(tier.url) if tier else None,
                "bytes_by_table": usage.bytes_by_table,
            }
        )
    costs = [facts.cost_month for facts in found.values() if facts.cost_month is not None]
    totals = {"corpus": corpus.name, "cost_month": sum(costs) if costs else None}
    sentence = f"cost a month: {number(sum(costs))}" if costs else ""
    print_result(CommandResult("tiers", COLUMNS, rows, totals, sentence), output=arguments.output)
