"""The flags of `strata retract`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from strata.errors import InputMissingError, SettingsError

if TYPE_CHECKING:
    from strata.pipelines.retraction.request import RetractRequest, Selector

__all__ = ["add_retract", "request_of"]

# Flag, kind and help of everything that can be asked for.
SELECTORS = (
    ("--id", "id", "documents with this id of yours"),
    ("--doc-id", "doc_id", "the document with this number"),
    ("--url", "url", "documents with this address, also in inputs that come later"),
    ("--source", "source", "all documents of this source, also in inputs that come later"),
    ("--cluster", "cluster", "all members of the duplicate cluster of this document"),
)
KINDS = tuple(kind for _, kind, _ in SELECTORS)


def add_retract(parser: argparse.ArgumentParser) -> None:
    """Add what can be retracted, and how."""
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
    """What the flags ask for.

    Raises:
        SettingsError: nothing is asked for, or a value names nothing.
        InputMissingError: a file of values is not there.
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
    from strata.pipelines.retraction.request import Selector, SelectorKind, parse_list

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
