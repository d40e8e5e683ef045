"""`strata storage rewrite --dry-run`: what would be rewritten."""

from __future__ import annotations

from typing import NoReturn

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.progress import QuietProgress
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.maintenance.rewrite import Rewrite, RewriteRequest, plan_rewrites
from strata.settings import Settings
from strata.storage.tables.catalog import Corpus

__all__ = ["run"]


def run(settings: Settings, corpus: Corpus, request: RewriteRequest, *, output: OutputForm) -> None:
    """Print the next step of each table; a second one follows where rows change partitions."""
    context = StageContext(settings, corpus, "dry-run", _no_spark, QuietProgress())
    plans = {table: plan_rewrites(context, table, request) for table in request.tables}
    rows = [_row(table, rewrites) for table, rewrites in plans.items() if rewrites]
    totals = {
        "corpus": corpus.name,
        "files": sum(len(each.files) for some in plans.values() for each in some),
        "bytes": sum(each.n_bytes for some in plans.values() for each in some),
    }
    columns = ("table", "step", "tasks", "files", "bytes")
    sentence = "files to rewrite: {files:,}, with {bytes:,} bytes"
    print_result(CommandResult("rewrites", columns, rows, totals, sentence), output=output)


def _row(table: str, rewrites: list[Rewrite]) -> dict[str, object]:
    return {
        "table": table,
        "step": "partition" if rewrites[0].partition is None else "join or sort",
        "tasks": len(rewrites),
        "files": sum(len(each.files) for each in rewrites),
        "bytes": sum(each.n_bytes for each in rewrites),
    }


def _no_spark() -> NoReturn:
    raise AssertionError("a plan needs no Spark")
