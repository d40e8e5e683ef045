"""The flags of commands and jobs: those that all share, and groups of flags that several share."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from strata.choices import PARTITIONABLE, RowOrder
from strata.errors import InputMissingError, SettingsError
from strata.jobs.runner.failures import report_failure
from strata.jobs.runner.options import OutputForm
from strata.jobs.session.standard_streams import steady_streams
from strata.places import place_of

if TYPE_CHECKING:
    from strata.pipelines.retraction.request import RetractRequest
    from strata.pipelines.tables.retractions import Selector

__all__ = [
    "Parser",
    "add_common",
    "add_grace",
    "add_other_corpora",
    "add_retract",
    "add_rewrite",
    "add_run",
    "all_overrides",
    "hours_of",
    "job_parser",
    "number_of",
    "place_flag",
    "request_of",
    "stage_parser",
    "verbosity",
]

USAGE = 2
MAX_HOURS = 1e6
# What argparse says of a flag without its value, and of words that it cannot place.
LACKS_VALUE = re.compile(r"argument (?P<flags>[^:]+): expected ")
UNKNOWN = re.compile(r"unrecognized arguments: (?P<flag>-\S+)")
# Flag, kind and help of every selector.
SELECTORS = (
    ("--id", "id", "documents with this id of yours"),
    ("--doc-id", "doc_id", "the document with this number"),
    ("--url", "url", "documents with this address, also in inputs that come later"),
    ("--source", "source", "all documents of this source, also in inputs that come later"),
    ("--cluster", "cluster", "all members of the duplicate cluster of this document"),
)
KINDS = tuple(kind for _, kind, _ in SELECTORS)


class Parser(argparse.ArgumentParser):
    """A parser that reports errors like every other failure: with one JSON line at the end."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; what no flag takes is an error of this command, not of the one around it."""
        steady_streams()
        self._words = list(sys.argv[1:] if args is None else args)
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return found, extra

    def error(self, message: str) -> NoReturn:
        """Report what is wrong with the command line, and exit with code 2."""
        self.print_usage(sys.stderr)
        hint = f"{self._hint(message)}see {self.prog} --help"
        report_failure(sys.stderr, USAGE, message, hint, retryable=False, run_id="")
        sys.exit(USAGE)

    def _hint(self, message: str) -> str:
        """The flag that is in the way, or that nobody knows, and the one that may be meant."""
        known = [flag for action in self._actions for flag in action.option_strings]
        lacking = LACKS_VALUE.match(message)
        for flag in lacking["flags"].split("/") if lacking else ():
            for word, after in pairwise(self._words):
                if word == flag and after.startswith("-"):
                    return f"{after} stands where {flag} wants its value{_meant(after, known)}; "
        unknown = UNKNOWN.match(message)
        flag = unknown["flag"] if unknown else ""
        return f"{flag} cannot be used{_meant(flag, known)}; " if flag else ""


def _meant(word: str, known: Sequence[str]) -> str:
    flag = word.partition("=")[0]
    if flag in known:
        return ""
    near = get_close_matches(flag.replace("_", "-"), known, n=1, cutoff=0.7)
    return ", and is no flag of this command" + (f" (did you mean {near[0]}?)" if near else "")


def job_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for one job under spark-submit: ``jobs/<verb>_<noun>.py --conf-file FILE``."""
    parser = Parser(prog=name, description=description)
    parser.add_argument("--conf-file", dest="file", type=Path, required=True, metavar="FILE")
    add_common(parser)
    add_run(parser)
    return parser


def stage_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for a job of stages, with the flags that name other corpora."""
    parser = job_parser(name, description)
    add_other_corpora(parser)
    return parser


def number_of(text: str) -> int:
    """The value of a flag that counts things.

    Raises:
        ArgumentTypeError: not a whole number of at least 0.
    """
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def place_flag(text: str) -> str:
    """The value of a flag that names a place: a URL or a path.

    Raises:
        ArgumentTypeError: it is almost a URL, or names a variable that is not set.
    """
    try:
        return place_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def hours_of(text: str) -> timedelta:
    """The value of a flag that gives an age in hours.

    Raises:
        ArgumentTypeError: not a number of hours.
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
        "--report", type=place_flag, metavar="URL", help="write the JSON report here too"
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
    """The flag that says how long old copies stay after a move."""
    parser.add_argument(
        "--grace",
        type=hours_of,
        default="24",
        metavar="HOURS",
        help="keep old copies so long after their move; must exceed the longest read (default: 24)",
    )


def add_rewrite(parser: argparse.ArgumentParser) -> None:
    """The flags that say how tables are rewritten."""
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
    """The overrides given by --set, and by flags that are short for settings."""
    said = [
        f"dedup.{flag}={json.dumps(values)}"
        for flag in ("against", "decontaminate")
        # Jobs that look for no duplicates do not have these flags.
        if (values := getattr(arguments, flag, []))
    ]
    return [*arguments.overrides, *said]


def verbosity(arguments: argparse.Namespace) -> int:
    """0 is normal, lower values are quieter, higher ones more verbose."""
    return int(arguments.verbose) - int(arguments.quiet)


def add_retract(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `strata retract`: selectors, and how to retract."""
    for flag, kind, text in SELECTORS:
        parser.add_argument(
            flag, dest=f"ask_{kind}", action="append", default=[], metavar="VALUE", help=text
        )
    parser.add_argument(
        "--from-file",
        action="append",
        default=[],
        metavar="[KIND=]PATH",
        help="values from a file, one a line; KIND is id (default), doc_id, url, source or cluster",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, for the table and the receipt")
    parser.add_argument(
        "--allow-missing", action="store_true", help="pass over values that name no document"
    )
    parser.add_argument("--resume", action="store_true", help="finish a retraction that was begun")
    parser.add_argument(
        "--expire-now",
        action="store_true",
        help="forget all older snapshots and delete their files at once; gives readers of them, "
        "and jobs under way, no grace",
    )


def request_of(arguments: argparse.Namespace) -> RetractRequest:
    """The request that the flags describe.

    Raises:
        SettingsError: there is no selector, or a value is empty.
        InputMissingError: a file of values is missing.
    """
    from strata.pipelines.retraction.request import ExpiryPolicy, MissingPolicy, RetractRequest

    selectors = list(_selectors(arguments))
    if bool(selectors) == arguments.resume:
        raise SettingsError(
            "--resume finishes what was begun, and takes nothing else out"
            if selectors
            else "nothing is asked for",
            hint="give --id, --doc-id, --url, --source, --cluster or --from-file, or else --resume",
        )
    return RetractRequest.of(
        selectors,
        arguments.reason,
        MissingPolicy.ALLOW if arguments.allow_missing else MissingPolicy.REFUSE,
        ExpiryPolicy.NOW if arguments.expire_now else ExpiryPolicy.BY_POLICY,
    )


def _selectors(arguments: argparse.Namespace) -> Iterator[Selector]:
    from strata.pipelines.retraction.request import parse_list
    from strata.pipelines.tables.retractions import Selector, SelectorKind

    for kind in KINDS:
        for value in getattr(arguments, f"ask_{kind}"):
            yield Selector(SelectorKind(kind), value)
    for given in arguments.from_file:
        kind, _, path = given.partition("=")
        named = (kind, path) if kind in KINDS and path else ("id", given)
        yield from parse_list(SelectorKind(named[0]), _text(Path(named[1])))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputMissingError(
            f"the values in {path} cannot be read: {error}",
            hint="give a text file in UTF-8 with one value a line",
        ) from error
