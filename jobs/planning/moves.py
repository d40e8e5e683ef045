"""`strata storage plan`: what the lifecycle rules would move."""

from __future__ import annotations

import argparse

from strata.jobs.display.facts import CommandResult, number, print_result
from strata.jobs.runner.options import OutputForm
from strata.settings import Settings
from strata.storage.lifecycle.plan import MovePlan, Route, plan_of_corpus
from strata.storage.tables.catalog import Corpus

__all__ = ["run", "show_move_plan"]

COLUMNS = ("table", "from", "to", "because", "files", "bytes", "seconds")
NOT_MEASURED = "not measured yet"


def run(settings: Settings, corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Print the moves, their cost and their time."""
    show_move_plan(settings, plan_of_corpus(settings, corpus), output=arguments.output)


def show_move_plan(settings: Settings, plan: MovePlan, *, output: OutputForm) -> None:
    """Print a plan."""
    totals = {
        "corpus": settings.corpus,
        "files": len(plan.moves),
        "bytes": sum(move.n_bytes for move in plan.moves),
        "cost_month_before": plan.cost_before,
        "cost_month_after": plan.cost_after,
        "unpriced_tiers": list(plan.unpriced),
        "seconds": plan.seconds,
    }
    rows = [_row(route, output) for route in plan.routes]
    print_result(
        CommandResult("moves", COLUMNS, rows, totals, _sentence(settings, plan)), output=output
    )


def _row(route: Route, output: OutputForm) -> dict[str, object]:
    is_told = route.seconds is not None or output is OutputForm.JSON
    return {
        "table": route.table,
        "from": route.source,
        "to": route.target,
        "because": route.reason,
        "files": route.files,
        "bytes": route.n_bytes,
        "seconds": route.seconds if is_told else NOT_MEASURED,
    }


def _sentence(settings: Settings, plan: MovePlan) -> str:
    told = ["files to move: {files:,}, with {bytes:,} bytes"]
    if any(tier.cost_gb_month is not None for tier in settings.all_tiers.values()):
        unpriced = f" (without {', '.join(plan.unpriced)})" if plan.unpriced else ""
        costs = f"{number(plan.cost_before)} now, {number(plan.cost_after)} then"
        told.append(f"cost a month{unpriced}: {costs}")
    if plan.moves:
        told.append("time: " + (NOT_MEASURED if plan.seconds is None else "{seconds:,.0f} s"))
    return "; ".join(told)
