"""What a run would do, from the settings, the listing and the catalog; no JVM."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.output import print_json
from strata.jobs.runner.progress import QuietProgress
from strata.jobs.session.spark import LazySession
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.ingest.plan import pack_splits
from strata.pipelines.lineage.staleness import cuts_are_current, is_contained_current
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.readers.split import plan_splits
from strata.pipelines.stages.compress import plan_compress
from strata.pipelines.stages.shard import plan_inputs
from strata.settings import Settings
from strata.stages import STAGES
from strata.storage.tables.catalog import open_corpus
from strata.storage.writing.tiers import landing_tier, tier_of_table
from strata.tables import table_names

__all__ = ["plan_facts", "show_plan"]


def show_plan(settings: Settings, *, output: OutputForm) -> None:
    """Print what a run would do."""
    facts = plan_facts(settings)
    if output is OutputForm.JSON:
        print_json(msgspec.json.format(msgspec.json.encode(facts), indent=2))
        return
    console = Console(soft_wrap=True)
    for title, rows in facts.items():
        table = Table(title=title, show_header=False, title_justify="left")
        for name, value in rows.items():
            table.add_row(name, _text(value))
        console.print(table)


def plan_facts(settings: Settings) -> dict[str, dict[str, Any]]:
    """The plan as plain data: inputs, splits, stages and tables."""
    context = StageContext(
        settings,
        open_corpus(settings),
        "dry-run",
        LazySession(settings, None, "dry-run"),
        QuietProgress(),
    )
    planned = plan_inputs(context, context.corpus)
    files = planned.plan.files
    splits = plan_splits(files, context.store, int(settings.shard.split_mb * 1e6))
    target = landing_tier(settings, "documents").layout.target_file_bytes
    tasks = pack_splits(splits, os.cpu_count() or 1, target)
    return {
        "inputs": {
            "files to read": len(files),
            "bytes to read": sum(file.size for file in files),
            "estimated bytes of text": sum(split.weight for split in splits),
            "files skipped": dict(planned.skipped),
        },
        "shard": {
            "mode": str(planned.plan.mode) if files else "up to date",
            "splits": len(splits),
            "tasks": len(tasks),
            "largest task, bytes of text": max(
                (sum(s.weight for s in t) for t in tasks), default=0
            ),
        },
        "stages": _stages(context, up_to_date=not files),
        "tables": {name: _table(context, name) for name in table_names()},
    }


def _stages(context: StageContext, *, up_to_date: bool) -> dict[str, str]:
    upstream = Upstream.of_survivors(context)
    ledger_done = up_to_date and upstream.table("clusters").content_key == upstream.ledger_key
    dedup_done = ledger_done and cuts_are_current(upstream)
    plans = plan_compress(context.settings, context.corpus)
    moves = {name: len(groups) for name, groups in plans.items() if groups}
    searched = up_to_date and is_contained_current(
        upstream.table("contained"), upstream.contained_key
    )
    unknown = "would run unless up to date"
    known = {
        "shard": "up to date" if up_to_date else "would run",
        "decontaminate": "up to date" if searched else "would run",
        "dedup": "up to date" if dedup_done else "would run",
        "tokenize": unknown if dedup_done else "would run",
        "compress": _compress(moves, up_to_date=dedup_done),
    }
    left_out = () if context.settings.dedup.decontaminate else ("decontaminate",)
    return {name: known.get(name, unknown) for name in STAGES if name not in left_out}


def _compress(moves: dict[str, int], *, up_to_date: bool) -> str:
    if not up_to_date:
        return "would rewrite what the stages before leave outside of its tier"
    return f"would rewrite {moves}" if moves else "up to date"


def _table(context: StageContext, name: str) -> dict[str, Any]:
    tier = tier_of_table(context.settings, name)
    rows = sum(file.rows for file in context.corpus.table(name).files())
    place = str(tier.folder(context.settings.corpus, name))
    return {
        "tier": tier.name,
        "codec": tier.layout.tag,
        "rows now": rows,
        "place": place,
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
