"""`strata dedup --tune`: compare settings of dedup on a sample of the corpus; publishes nothing.

Under Spark: `spark-submit jobs/tune_dedup.py --conf-file FILE`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from strata.jobs.command.arguments import all_overrides, stage_parser, verbosity
from strata.jobs.command.entry import check_report, write_report
from strata.jobs.planning.dry_run import show_plan
from strata.jobs.runner.failures import guarded
from strata.jobs.runner.options import OutputForm, RunOptions
from strata.jobs.runner.output import print_json
from strata.jobs.runner.progress import spark_progress
from strata.jobs.session.spark import LazySession
from strata.layers import load_settings
from strata.pipelines.evaluation.tune import TrialResult, Tuning, tune
from strata.pipelines.execution.stage import StageContext
from strata.settings import VerifyMethod
from strata.storage.tables.catalog import open_corpus

__all__ = ["main", "run_tune", "show_tuning"]

COLUMNS = ("meet", "recall", "false", "read", "bytes/doc", "s/M docs")
WIDTH = 104


def run_tune(arguments: argparse.Namespace) -> int:
    """Tune as the parsed arguments of a stage say; returns the exit code."""
    run_id = arguments.run_id or f"tune-{os.getpid()}"
    return guarded(lambda: _run(arguments, run_id), run_id)


def _run(arguments: argparse.Namespace, run_id: str) -> int:
    settings = load_settings(arguments.file, all_overrides(arguments)).settings
    if arguments.dry_run:
        show_plan(settings, output=arguments.output, command="dedup")
        return 0
    if arguments.report:
        check_report(settings, arguments.report)
    options = RunOptions("tune", run_id, arguments.master, verbosity(arguments))
    session = LazySession(settings, options.master, run_id, options.log_level)
    progress = spark_progress(session, options)
    try:
        with open_corpus(settings) as corpus:
            tuning = tune(StageContext(settings, corpus, run_id, session, progress))
    finally:
        progress.stop()
        session.stop()
    data = msgspec.json.format(msgspec.json.encode(tuning), indent=2)
    if arguments.report:
        write_report(settings, arguments.report, data)
    if arguments.output is OutputForm.JSON:
        print_json(data)
    elif options.verbosity >= 0:
        show_tuning(tuning, Console(width=max(WIDTH, Console().width)))
    return 0


def show_tuning(tuning: Tuning, console: Console) -> None:
    """Print what was tried, what it found and cost, and what to set."""
    table = Table(
        title=f"dedup at threshold {tuning.threshold:g}", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.add_column("setting", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for place, outcome in enumerate(tuning.outcomes):
        notes = [
            note
            for note, at in (("present", tuning.present), ("recommended", tuning.recommended))
            if place == at
        ]
        table.add_row(*_row(outcome), ", ".join(notes))
    console.print(table)
    console.print(
        f"{tuning.drawn:,} of {tuning.documents:,} documents were drawn by hash; with all that is "
        f"similar to them {tuning.sampled:,}; {tuning.pairs:,} true pairs, by exact Jaccard.",
        highlight=False,
    )
    choice = tuning.outcomes[tuning.recommended].choice
    bands, rows, verify = choice.banding.bands, choice.banding.rows, choice.verification
    told = f'recommended: bands = {bands}, rows = {rows}, verify = "{verify}"'
    console.print(told, highlight=False)


def _row(outcome: TrialResult) -> tuple[str, ...]:
    choice = outcome.choice
    name = f"{choice.banding.bands} × {choice.banding.rows}"
    name += f", {choice.bits} bits" if choice.bits > 1 else ""
    name += f", margin {choice.margin:g}" if choice.margin != 1 else ""
    name += ", exact" if choice.verification is VerifyMethod.EXACT else ""
    return (
        name,
        f"{outcome.meet:.2%}",
        f"{outcome.recall:.3%}",
        f"{outcome.false_removals:.2%}",
        f"{outcome.checked:.3f}" if outcome.checked else "–",
        f"{outcome.document_bytes:,}",
        f"{outcome.seconds:.1f}",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return run_tune(stage_parser("tune", "weigh the settings of dedup").parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
