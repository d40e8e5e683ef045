"""`strata storage tiers`: what each tier holds."""

from __future__ import annotations

import argparse

from strata.jobs.runtime.facts import Facts, show_facts
from strata.settings import Settings
from strata.storage.catalog import Corpus
from strata.storage.tiers import tiers_of
from strata.storage.usage import tier_usage

__all__ = ["run"]


def run(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Print files, rows and bytes by tier."""
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
