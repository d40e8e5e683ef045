"""The flags that every job has."""

from __future__ import annotations

import argparse
import json
import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from strata.choices import PARTITIONABLE, RowOrder
from strata.jobs.runtime.failures import report_failure
from strata.jobs.runtime.output import OutputForm

__all__ = [
    "Parser",
    "add_common",
    "add_grace",
    "add_other_corpora",
    "add_rewrite",
    "add_run",
    "all_overrides",
    "hours_of",
    "job_parser",
    "number_of",
    "stage_parser",
    "verbosity",
]

USAGE = 2
MAX_HOURS = 1e6


class Parser(argparse.ArgumentParser):
    """A parser whose errors end like every other failure: with one JSON line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit with code 2."""
        self.print_usage(sys.stderr)
        hint = f"see {self.prog} --help"
        report_failure(sys.stderr, USAGE, message, hint, retryable=False, run_id="")
        sys.exit(USAGE)


def job_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for one job under spark-submit: ``jobs/<verb>_<noun>.py --conf-file FILE``."""
    parser = Parser(prog=name, description=description)
    parser.add_argument("--conf-file", dest="file", type=Path, required=True, metavar="FILE")
    add_common(parser)
    add_run(parser)
    return parser


def stage_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for a job of stages, which other corpora may take part in."""
    parser = job_parser(name, description)
    add_other_corpora(parser)
    return parser


def number_of(text: str) -> int:
    """The value of a flag that counts things.

    Raises:
        ArgumentTypeError: no whole number from 0 on.
    """
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def hours_of(text: str) -> timedelta:
    """The value of a flag that gives an age in hours.

    Raises:
        ArgumentTypeError: no number of hours.
    """
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    # Rules out NaN too.
    if not 0 <= hours <= MAX_HOURS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours from 0 on")
    return timedelta(hours=hours)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that reads a settings file."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a setting; may be repeated",
    )
    parser.add_argument(
        "--json",
        dest="output",
        action="store_const",
        const=OutputForm.JSON,
        default=OutputForm.TEXT,
        help="print the result as JSON on stdout",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="show Spark's warnings; twice: its log"
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="no progress and no table")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that runs stages."""
    parser.add_argument("--master", help="Spark master; the default is local[*]")
    parser.add_argument("--run-id", help="name of the run; made from the time unless given")
    parser.add_argument(
        "--report", type=Path, metavar="PATH", help="write the JSON report here too"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done; starts no JVM"
    )


def add_other_corpora(parser: argparse.ArgumentParser) -> None:
    """The flags that name other corpora whose documents are removed."""
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="CORPUS[@SNAPSHOT]",
        help="remove what another corpus has, as dedup.against does; may be repeated",
    )
    parser.add_argument(
        "--decontaminate",
        action="append",
        default=[],
        metavar="CORPUS[@SNAPSHOT]",
        help="remove what contains an item of a benchmark, as dedup.decontaminate does; may be "
        "repeated",
    )


def add_grace(parser: argparse.ArgumentParser) -> None:
    """The flag that says how long copies stay that a move has replaced."""
    parser.add_argument(
        "--grace",
        type=hours_of,
        default="24",
        metavar="HOURS",
        help="keep old copies so long after their move; must exceed the longest read (default: 24)",
    )


def add_rewrite(parser: argparse.ArgumentParser) -> None:
    """The flags that say how tables are written anew."""
    parser.add_argument("--table", choices=tuple(PARTITIONABLE), help="only this table")
    parser.add_argument(
        "--partition-by",
        metavar="FIELDS",
        help='fields of its partitions, as in "source,bucket(16,id)", instead of [partitions]; '
        '"" for none',
    )
    orders = tuple(order.value for order in RowOrder)
    parser.add_argument("--order", choices=orders, help="sort the rows inside each file")
    parser.add_argument(
        "--target-file-mb", type=float, metavar="MB", help="size of a file instead of the tier's"
    )


def all_overrides(arguments: argparse.Namespace) -> list[str]:
    """What --set says, and what flags say in short for settings."""
    said = [
        f"dedup.{flag}={json.dumps(values)}"
        for flag in ("against", "decontaminate")
        # Jobs that look for no duplicates do not have these flags.
        if (values := getattr(arguments, flag, []))
    ]
    return [*arguments.overrides, *said]


def verbosity(arguments: argparse.Namespace) -> int:
    """0 is normal, less is quieter, more says more."""
    return int(arguments.verbose) - int(arguments.quiet)
