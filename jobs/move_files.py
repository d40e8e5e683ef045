"""`strata storage move`: move files into the tiers that the lifecycle rules assign them to.

Under Spark: `spark-submit jobs/move_files.py --conf-file FILE`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from strata.jobs.command.arguments import add_grace, all_overrides, job_parser
from strata.jobs.command.entry import run_command
from strata.jobs.runner.failures import guarded
from strata.layers import load_settings

if TYPE_CHECKING:
    from strata.jobs.runner.run import Stage

__all__ = ["main", "move_files"]


def move_files(arguments: argparse.Namespace) -> int:
    """Run the parsed command; returns the exit code."""
    if arguments.dry_run:
        return guarded(lambda: _show_plan(arguments))

    def stages() -> Sequence[Stage]:
        from strata.pipelines.maintenance.move import run_move

        return [partial(run_move, grace=arguments.grace)]

    return run_command("move", stages, arguments)


def _show_plan(arguments: argparse.Namespace) -> int:
    from strata.jobs.planning.moves import run
    from strata.storage.tables.catalog import open_corpus

    settings = load_settings(arguments.file, all_overrides(arguments)).settings
    with open_corpus(settings) as corpus:
        run(settings, corpus, arguments)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    parser = job_parser("move", "put files into the tiers that the lifecycle rules want them in")
    add_grace(parser)
    return move_files(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
