"""Which actions `strata storage` has, and their flags; imports none of them before it runs."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from strata.jobs.command.arguments import add_grace, add_rewrite, add_run, hours_of, number_of
from strata.storage.integrity.verify_level import VerifyLevel
from strata.storage.relocation.vouched import Vouched

if TYPE_CHECKING:
    from strata.settings import Settings

__all__ = ["ACTIONS", "StorageAction", "run_action"]


class Access(StrEnum):
    """What an action does to tables and files."""

    READ = "read"
    WRITE = "write"
    LOOK = "look"
    """It mends what keeps the corpus from being opened."""


@dataclass(frozen=True, slots=True)
class StorageAction:
    """An action.

    Attributes:
        summary: what it does, for ``--help``.
        module: module of this package, whose ``run(settings, corpus, arguments)`` does it, or
            ``run(look, arguments)``; None where the flags name a job that runs instead.
        add_flags: adds its own flags.
        access: whether it changes tables or files.
    """

    summary: str
    module: str | None
    add_flags: Callable[[argparse.ArgumentParser], None] = lambda _: None
    access: Access = Access.READ


def _age_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than",
        type=hours_of,
        default="24",
        metavar="HOURS",
        help="leave alone what is younger; must exceed the longest job (default: 24)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only list")


def _gc_flags(parser: argparse.ArgumentParser) -> None:
    _age_flags(parser)
    _list_flag(parser)


def _list_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--list",
        dest="listed",
        action="store_true",
        help="print every file too, not only the totals by table and tier; --json always has all",
    )


def _verify_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick",
        dest="level",
        action="store_const",
        const=VerifyLevel.FOOTERS,
        default=VerifyLevel.FULL,
        help="read only sizes and footers",
    )
    parser.add_argument("--table", help="only this table")
    parser.add_argument("--master", help="read the files in tasks of this Spark master")
    parser.add_argument(
        "--repair", action="store_true", help="make damaged files anew from what still exists"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --repair: only tell from what")


def _expire_flags(parser: argparse.ArgumentParser) -> None:
    _age_flags(parser)
    parser.add_argument(
        "--keep-last",
        type=number_of,
        default=1,
        metavar="N",
        help="keep at least so many snapshots of each table (default: 1)",
    )


def _tag_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the tag")
    parser.add_argument("--delete", action="store_true", help="take the tag away")


def _rollback_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", required=True, metavar="TAG|SNAPSHOT", help="a tag, or the id of a snapshot"
    )
    parser.add_argument("--dry-run", action="store_true", help="only list")


def _adopt_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it; without it, only list")


def _rebuild_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only list")


def _table_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", help="only this table")
    parser.add_argument(
        "--snapshot", metavar="ID", help="the files of an older state, by id or tag; with --table"
    )
    _list_flag(parser)


def _move_flags(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_grace(parser)
    # It runs on Spark, as stages do.
    parser.set_defaults(run=_move)


def _move(arguments: argparse.Namespace) -> int:
    from strata.jobs.move_files import move_files

    return move_files(arguments)


def _cache_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clear", action="store_true", help="remove all blocks of this host")


def _rewrite_flags(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_rewrite(parser)
    parser.set_defaults(run=_rewrite)


def _rewrite(arguments: argparse.Namespace) -> int:
    from strata.jobs.rewrite_tables import rewrite_tables

    return rewrite_tables(arguments)


def _relocate_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as-copy",
        action="store_true",
        help="the folders were copied: the copy becomes a corpus of its own",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="where the files of a former place are now, if the settings do not show it",
    )
    parser.add_argument(
        "--old-is-gone",
        dest="vouched",
        action="append_const",
        const=Vouched.OLD_IS_GONE,
        default=[],
        help="the former place, which does not answer, is gone for good",
    )
    parser.add_argument(
        "--own-catalog",
        dest="vouched",
        action="append_const",
        const=Vouched.OWN_CATALOG,
        help="with --as-copy: [catalog] names another database than that of the original",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be rewritten")


ACTIONS: Mapping[str, StorageAction] = MappingProxyType(
    {
        "tiers": StorageAction(
            "what each tier holds and costs, and how full it is", "storage.show_tiers"
        ),
        "plan": StorageAction("what the lifecycle rules would move; no JVM", "planning.moves"),
        "files": StorageAction(
            "the data files of the tables, as other engines read them",
            "storage.list_files",
            _table_flags,
        ),
        "move": StorageAction("move files as the lifecycle rules say", None, _move_flags),
        "cache": StorageAction(
            "the block cache of this host: what it holds, or clear it",
            "storage.show_cache",
            _cache_flags,
        ),
        "rewrite": StorageAction(
            "write tables anew: other partitions, order, sizes of files", None, _rewrite_flags
        ),
        "snapshots": StorageAction("the snapshots of every table", "storage.show_snapshots"),
        "verify": StorageAction(
            "read all files of the tables, compare them with the catalog, and repair them",
            "storage.verify_files",
            _verify_flags,
            Access.WRITE,
        ),
        "tag": StorageAction(
            "name the present state of all tables", "storage.tag_tables", _tag_flags, Access.WRITE
        ),
        "rollback": StorageAction(
            "return to a state that a tag or a snapshot has",
            "storage.roll_back",
            _rollback_flags,
            Access.WRITE,
        ),
        "expire": StorageAction(
            "forget old snapshots, so that their files can go",
            "storage.expire_snapshots",
            _expire_flags,
            Access.WRITE,
        ),
        "gc": StorageAction(
            "delete files that no table refers to",
            "storage.collect_files",
            _gc_flags,
            Access.WRITE,
        ),
        "relocate": StorageAction(
            "rewrite the paths of a corpus whose folders were moved or copied; no JVM",
            "storage.relocate_corpus",
            _relocate_flags,
            Access.LOOK,
        ),
        "adopt": StorageAction(
            "after a look, make what lies in warehouse and tiers part of the corpus",
            "storage.adopt_places",
            _adopt_flags,
            Access.LOOK,
        ),
        "rebuild-catalog": StorageAction(
            "make a lost catalog anew from the tables' metadata",
            "storage.rebuild_catalog",
            _rebuild_flags,
            Access.LOOK,
        ),
    }
)


def run_action(settings: Settings, arguments: argparse.Namespace) -> None:
    """Carry out ``arguments.action`` and print what it found or did.

    Raises:
        StrataError: as the action says.
    """
    from strata.storage.tables.catalog import look_at, open_corpus
    from strata.storage.tables.claim import open_to_write

    action = ACTIONS[arguments.action]
    module = importlib.import_module(f"strata.jobs.{action.module}")
    if action.access is Access.LOOK:
        with closing(look_at(settings)) as look:
            module.run(look, arguments)
        return
    if action.access is Access.READ:
        with open_corpus(settings) as corpus:
            module.run(settings, corpus, arguments)
        return
    with open_to_write(settings) as corpus:
        module.run(settings, corpus, arguments)
        corpus.load_tables()
        corpus.write_marks()
