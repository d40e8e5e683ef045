"""Finishing moves: tags that a crash left behind follow, old copies are deleted after a grace."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from strata.errors import InputMissingError
from strata.storage.cleanup.expiry import expire
from strata.storage.contracts.url import Url
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.layout.properties import RUN_ID
from strata.storage.lifecycle.journal import MoveCopied, MoveIntent, MoveJournal, moves_folder
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.held_files import files_by_ref
from strata.storage.tables.publish import run_commit
from strata.storage.tables.referenced_files import referenced_names
from strata.storage.tables.replace import beside_others
from strata.storage.tables.table import CorpusTable

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile

__all__ = ["LONGEST_MOVE", "CleanupResult", "clean_up_moves", "finish_moves", "pending_copies"]

LONGEST_MOVE = timedelta(hours=24)
"""A batch whose copies no table refers to after this time belongs to a run that died."""
_DELETES_IN_FLIGHT = 16


@dataclass(frozen=True, slots=True)
class CleanupResult:
    """What the cleanup did.

    Attributes:
        snapshots: number of superseded snapshots that were forgotten.
        files: number of copies that were deleted.
        n_bytes: their size.
        waiting: number of old copies that are still referred to, or younger than the grace.
    """

    snapshots: int = 0
    files: int = 0
    n_bytes: int = 0
    waiting: int = 0


def finish_moves(corpus: Corpus, *, run_id: str) -> int:
    """Finish moves of runs that died in between, for tables and their tags and branches.

    Returns:
        The number of tables, tags and branches that changed.

    Raises:
        ConflictError: another writer changed one of them meanwhile.
        TransientError: the catalog did not answer.
    """
    moved: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for entry in _journal(corpus).all_copied():
        moved[entry.table] |= {each.old: each.new for each in entry.files}
    return sum(_finish(corpus.table(name), pairs, run_id) for name, pairs in moved.items())


def _finish(table: CorpusTable, moved: Mapping[str, str], run_id: str) -> int:
    iceberg = table.existing()
    refs = list(iceberg.metadata.refs) if iceberg else []
    return sum(beside_others(partial(_follow, table, name, moved, run_id)) for name in refs)


def _follow(table: CorpusTable, ref: str, moved: Mapping[str, str], run_id: str) -> bool:
    from strata.storage.iceberg.commits import RewriteCommit
    from strata.storage.iceberg.table_commit import OneChange

    with catalog_errors(table.name):
        iceberg = table.iceberg()
        by_ref = files_by_ref(iceberg)
        files = by_ref.get(ref, {})
        known = {url: file for some in by_ref.values() for url, file in some.items()}
        pairs = [
            (files[old], known[new])
            for old, new in moved.items()
            if old in files and new in known and _are_alike(files[old], known[new])
        ]
        if pairs:
            commit = RewriteCommit(OneChange(iceberg), {RUN_ID: run_id}, ref)
            for old_file, new_file in pairs:
                commit.replace_by([old_file], [new_file])
            run_commit(table, commit)
    return bool(pairs)


def _are_alike(old: DataFile, new: DataFile) -> bool:
    # The journal is not an authority on rows.
    return all(
        getattr(old, fact) == getattr(new, fact)
        for fact in ("record_count", "value_counts", "lower_bounds", "upper_bounds")
    )


def pending_copies(corpus: Corpus, grace: timedelta) -> list[Url]:
    """Old copies of moves that were published longer than ``grace`` ago.

    :func:`clean_up_moves` deletes those of them that nothing refers to by then.
    """
    limit = time.time_ns() // 1_000_000 - round(grace.total_seconds() * 1000)
    due = [entry for entry in _journal(corpus).all_copied() if entry.at_ms <= limit]
    return sorted(Url.parse(each.old) for entry in due for each in entry.files)


def clean_up_moves(corpus: Corpus, grace: timedelta) -> CleanupResult:
    """Delete old copies of moves that were published longer than ``grace`` ago.

    Superseded snapshots of the moved tables pin them; those superseded longer than ``grace`` ago
    are forgotten first. A copy that anything still refers to stays, and so do the copies of a run
    that may still be at work. A run that was suspended for longer than any move takes finds its
    batch abandoned, and publishes nothing of it.

    Raises:
        ConflictError: another writer kept changing a table.
        InputMissingError: metadata of a table is missing, so references cannot be determined.
        TransientError: a store or the catalog did not answer.
    """
    journal = _journal(corpus)
    now_ms = time.time_ns() // 1_000_000
    limit = now_ms - round(grace.total_seconds() * 1000)
    dead = min(limit, now_ms - round(LONGEST_MOVE.total_seconds() * 1000))
    copied, intents = journal.all_copied(), journal.intents()
    due = [entry for entry in copied if entry.at_ms <= limit]
    waiting = sum(len(entry.files) for entry in copied if entry.at_ms > limit)
    done = {entry.batch: entry.at_ms for entry in copied}
    lapsed = [each for each in intents if max(each.at_ms, done.get(each.batch, 0)) <= dead]
    abandoned = [each for each in lapsed if each.batch not in done]
    if not due and not abandoned:
        return CleanupResult(waiting=waiting)
    for intent in lapsed:
        # Before the references are read, so what its run has published by now is safe.
        journal.give_up(intent.batch)
    older_than = datetime.now(UTC) - grace
    tables = dict.fromkeys(entry.table for entry in due)
    expired = sum(len(expire(corpus.table(name), older_than)) for name in tables)
    needed = referenced_names(corpus)
    gone = _Deletions(corpus)
    for entry in due:
        olds = [Url.parse(each.old) for each in entry.files]
        # Copies of a batch that was never published are orphans once its run must be over.
        news = [Url.parse(each.new) for each in entry.files] if entry.at_ms <= dead else []
        gone.delete(url for url in (*olds, *news) if url.name not in needed)
        still = sum(url.name in needed for url in olds)
        waiting += still
        if not still and (entry.at_ms <= dead or _is_published(entry, needed)):
            journal.forget(entry.batch)
    for intent in abandoned:
        gone.delete(_left_over(corpus, intent, needed))
        journal.forget(intent.batch)
    journal.forget_old_rates()
    return CleanupResult(expired, gone.files, gone.n_bytes, waiting)


def _journal(corpus: Corpus) -> MoveJournal:
    return MoveJournal(corpus.store, moves_folder(corpus.warehouse, corpus.name))


def _is_published(entry: MoveCopied, needed: set[str]) -> bool:
    return all(Url.parse(each.new).name in needed for each in entry.files)


def _left_over(corpus: Corpus, intent: MoveIntent, needed: set[str]) -> list[Url]:
    found = [info.url for info in corpus.store.find(Url.parse(intent.folder))]
    return [url for url in found if intent.stem in url.name and url.name not in needed]


class _Deletions:
    """Deletes files, and counts those that existed."""

    def __init__(self, corpus: Corpus) -> None:
        self._store = corpus.store
        self.files = 0
        self.n_bytes = 0

    def delete(self, urls: Iterable[Url]) -> None:
        with ThreadPoolExecutor(_DELETES_IN_FLIGHT) as pool:
            for size in pool.map(self._delete, urls):
                self.files += size is not None
                self.n_bytes += size or 0

    def _delete(self, url: Url) -> int | None:
        try:
            size = self._store.info(url).size
        except InputMissingError:
            return None
        self._store.delete(url)
        return size
