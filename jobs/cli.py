"""The commands of `strata` and their flags.

Commands import what they need when they run, so that ``--help`` and a wrong flag answer at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from strata.jobs.command.arguments import (
    Parser,
    add_common,
    add_other_corpora,
    add_retract,
    add_run,
    number_of,
    place_flag,
)
from strata.jobs.manage_storage import ACTIONS, run_action
from strata.jobs.runner.failures import guarded
from strata.pipelines.export.formats import WRITERS
from strata.stages import STAGE_COMMANDS
from strata.tables import DECLARED
from strata.version import VERSION

if TYPE_CHECKING:
    from strata.settings import Settings

    Commands = argparse._SubParsersAction[Parser]

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 ok, 1 a defect, 2 usage or settings, 3 input, 4 conflict, 5 partial result refused,
        75 transient.
    """
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


def _parser() -> Parser:
    parser = Parser(
        prog="strata",
        description="Raw text to a training corpus on Spark: shard, dedup, tokenize, compress.",
    )
    parser.add_argument("--version", action="version", version=f"strata {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, summary) in STAGE_COMMANDS.items():
        job = _command(commands, name, summary, _stage_runner(name))
        add_run(job)
        add_other_corpora(job)
        if name == "dedup":
            _add_tune(job)
    _add_retract(commands)
    _command(commands, "plan", "show what a run would do; starts no JVM", _plan)
    _command(commands, "config", "print the merged settings, and where each comes from", _config)
    _add_export(commands)
    _add_explain(commands)
    _add_report(commands)
    _add_storage(commands)
    _command(
        commands, "doctor", "check this machine, and the tiers of FILE", _doctor, file_count="?"
    )
    return parser


def _command(
    commands: Commands,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
    file_count: str | None = None,
) -> Parser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.add_argument("file", type=Path, nargs=file_count, metavar="FILE", help="settings file")
    add_common(parser)
    parser.set_defaults(run=run)
    return parser


def _stage_runner(name: str) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        from strata.jobs.command.entry import run_command
        from strata.jobs.runner.launch import stages_of

        # The settings are parsed before Spark's and Arrow's modules are imported.
        return run_command(name, partial(stages_of, name), arguments)

    return run


def _add_tune(job: Parser) -> None:
    job.add_argument(
        "--tune",
        dest="run",
        action="store_const",
        const=_tune,
        help="weigh settings against each other on a sample; publishes nothing",
    )


def _tune(arguments: argparse.Namespace) -> int:
    from strata.jobs.tune_dedup import run_tune

    return run_tune(arguments)


def _loaded(arguments: argparse.Namespace, work: Callable[[Settings], None]) -> int:
    from strata.layers import load_settings

    def run() -> int:
        work(load_settings(arguments.file, arguments.overrides).settings)
        return 0

    return guarded(run)


def _plan(arguments: argparse.Namespace) -> int:
    def show(settings: Settings) -> None:
        from strata.jobs.planning.dry_run import show_plan

        show_plan(settings, output=arguments.output)

    return _loaded(arguments, show)


def _config(arguments: argparse.Namespace) -> int:
    from strata.layers import load_settings, render

    def run() -> int:
        sys.stdout.write(render(load_settings(arguments.file, arguments.overrides)))
        return 0

    return guarded(run)


def _add_retract(commands: Commands) -> None:
    summary = "take documents out of every table, and print a receipt"
    parser = _command(commands, "retract", summary, _retract)
    add_retract(parser)
    add_run(parser)
    add_other_corpora(parser)


def _retract(arguments: argparse.Namespace) -> int:
    from strata.jobs.retract_documents import retract_documents

    return retract_documents(arguments)


def _add_export(commands: Commands) -> None:
    summary = "write documents, clusters, contained, rejects or tokens as Parquet or JSON lines"
    parser = commands.add_parser("export", help=summary, description=summary)
    parser.add_argument(
        "table", choices=[each.name for each in DECLARED.values() if each.is_exported]
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="settings file")
    parser.add_argument("--format", choices=tuple(WRITERS), default="parquet")
    parser.add_argument(
        "--to", type=place_flag, required=True, metavar="URL", help="folder to write into"
    )
    add_common(parser)
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    def export(settings: Settings) -> None:
        from strata.jobs.export_table import export_table

        export_table(
            settings, arguments.table, arguments.format, arguments.to, output=arguments.output
        )

    return _loaded(arguments, export)


def _add_explain(commands: Commands) -> None:
    summary = "tell the way of one document through the stages, and its duplicates"
    parser = commands.add_parser("explain", help=summary, description=summary)
    parser.add_argument("document", metavar="ID", help="the user's id, or a doc_id")
    parser.add_argument("file", type=Path, metavar="FILE", help="settings file")
    parser.add_argument(
        "--members",
        type=number_of,
        default=10,
        metavar="N",
        help="documents of its cluster that are shown at most (default: 10)",
    )
    add_common(parser)
    parser.set_defaults(run=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    def explain(settings: Settings) -> None:
        from strata.jobs.explain_document import explain_document

        explain_document(settings, arguments.document, arguments.members, output=arguments.output)

    return _loaded(arguments, explain)


def _add_report(commands: Commands) -> None:
    summary = "show the report of the newest run, or write it as HTML"
    parser = _command(commands, "report", summary, _report)
    parser.add_argument("--run-id", help="another run than the newest")
    parser.add_argument("--html", type=place_flag, metavar="URL", help="write an HTML page")


def _report(arguments: argparse.Namespace) -> int:
    def report(settings: Settings) -> None:
        from strata.jobs.show_report import show_report

        show_report(settings, arguments.run_id, html=arguments.html, output=arguments.output)

    return _loaded(arguments, report)


def _add_storage(commands: Commands) -> None:
    summary = "look after the tables and their files"
    parser = commands.add_parser("storage", help=summary, description=summary)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in ACTIONS.items():
        action.add_flags(_command(actions, name, action.summary, _storage))


def _storage(arguments: argparse.Namespace) -> int:
    return _loaded(arguments, lambda settings: run_action(settings, arguments))


def _doctor(arguments: argparse.Namespace) -> int:
    def run() -> int:
        from strata.jobs.doctor.doctor import show_checks
        from strata.layers import load_settings, spark_settings

        file, overrides = arguments.file, arguments.overrides
        settings = load_settings(file, overrides).settings if file else None
        spark = settings.spark if settings else spark_settings(overrides)
        return show_checks(settings, spark, output=arguments.output)

    return guarded(run)
