"""`strata storage rewrite`: rewrite tables into other partitions, row order or file sizes.

Under Spark: `spark-submit jobs/rewrite_tables.py --conf-file FILE`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from strata.choices import PARTITIONABLE
from strata.errors import SettingsError
from strata.jobs.command.arguments import add_rewrite, all_overrides, job_parser
from strata.jobs.command.entry import run_command
from strata.jobs.runner.failures import guarded
from strata.layers import load_settings
from strata.partition_settings import partition_fields, split_fields
from strata.settings import RowOrder

if TYPE_CHECKING:
    from strata.jobs.runner.run import Stage
    from strata.pipelines.maintenance.rewrite import RewriteRequest

__all__ = ["main", "request_of", "rewrite_tables"]


def rewrite_tables(arguments: argparse.Namespace) -> int:
    """Run the parsed command; returns the exit code."""
    if arguments.dry_run:
        return guarded(lambda: _show_plan(arguments))

    def stages() -> Sequence[Stage]:
        from strata.pipelines.maintenance.rewrite import run_rewrite_tables

        return [partial(run_rewrite_tables, request=request_of(arguments))]

    return run_command("rewrite", stages, arguments)


def request_of(arguments: argparse.Namespace) -> RewriteRequest:
    """The request that the flags describe.

    Raises:
        SettingsError: they cannot work.
    """
    from strata.pipelines.maintenance.rewrite import RewriteRequest

    table, fields, size = arguments.table, arguments.partition_by, arguments.target_file_mb
    if table is None and fields is not None:
        raise SettingsError(
            f"--partition-by {fields!r} names no table", hint="add --table, or set [partitions]"
        )
    if size is not None and not 0.001 <= size <= 4096:
        raise SettingsError(
            f"--target-file-mb {size} is no size of a file", hint="give from 0.001 to 4096 MB"
        )
    try:
        named = None if fields is None else partition_fields(table, split_fields(fields))
    except ValueError as error:
        raise SettingsError(f"--partition-by {fields!r}: {error}") from error
    return RewriteRequest(
        tables=tuple(PARTITIONABLE) if table is None else (table,),
        partition_by=named,
        order=None if arguments.order is None else RowOrder(arguments.order),
        target_file_bytes=None if size is None else round(size * 1e6),
    )


def _show_plan(arguments: argparse.Namespace) -> int:
    from strata.jobs.planning.rewrites import run
    from strata.storage.tables.catalog import open_corpus

    settings = load_settings(arguments.file, all_overrides(arguments)).settings
    with open_corpus(settings) as corpus:
        run(settings, corpus, request_of(arguments), output=arguments.output)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    parser = job_parser("rewrite", "write tables anew, in other partitions, orders or sizes")
    add_rewrite(parser)
    return rewrite_tables(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
