"""Garbage collection: finding and deleting files that nothing refers to."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from strata.errors import ConflictError
from strata.storage.contracts.store import FileInfo, Store
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import STAGING
from strata.storage.reading.scan import read_batches
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.places import TableFileInfo, read_unproven, table_files
from strata.storage.tables.referenced_files import names_of_newer_metadata, referenced_names
from strata.storage.writing.tiers import Tier
from strata.tables import table_names

__all__ = ["Garbage", "collect_garbage", "find_orphans", "refuse_lost_tables"]

_DELETES_IN_FLIGHT = 16
_BATCH_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Garbage:
    """What a collection deleted."""

    files: int
    n_bytes: int


def find_orphans(corpus: Corpus, tiers: Iterable[Tier], grace: timedelta) -> list[FileInfo]:
    """Files of a corpus that no table refers to, sorted by URL.

    Looks at the data folders of its tables in every tier, at their metadata folders, and at
    ``_staging``; a folder there counts as a whole, by its youngest file. Reports, tokenizers, the
    catalog and files that the corpus was read from are never among them.

    Only what is proven to be garbage of this corpus is among them. Every place has to carry its
    identity; files that were there before it, and that no table referred to then, are left out; and
    so is what metadata refers to that is newer than the catalog's, such as a catalog that was
    restored from a backup has beside it.

    Args:
        corpus: the corpus, opened to write.
        tiers: all tiers that hold files of it.
        grace: files younger than this are left alone, as they may belong to a running job; so it
            must exceed the longest job. Files whose age the store does not report are left alone.

    Raises:
        IdentityError: a place does not carry the identity of the corpus.
        ConflictError: the catalog changed meanwhile, or is not that of the warehouse: it lacks a
            table whose metadata is there.
        InputMissingError: metadata of a table is missing, so orphans cannot be told from others.
    """
    limit = time.time_ns() - round(grace.total_seconds() * 1e9)
    # Files are listed before the references are read, so what is published in between is safe.
    tiers = list(tiers)
    corpus.refuse_unproven(_roots(corpus, tiers))
    listed = list(_listed(corpus, tiers))
    staged = _abandoned(corpus, limit)
    _refuse_unknown_tables(corpus, listed)
    old = [each.file for each in listed if _is_older(each.file, limit)]
    needed = _needed(corpus, tiers, listed) if old else set()
    orphans = [file for file in old if file.url.name not in needed]
    inputs = _input_urls(corpus) if orphans else set()
    return sorted(file for file in [*orphans, *staged] if str(file.url) not in inputs)


def collect_garbage(store: Store, orphans: Sequence[FileInfo]) -> Garbage:
    """Delete what :func:`find_orphans` found; a file that is already gone is not an error."""
    with ThreadPoolExecutor(_DELETES_IN_FLIGHT) as pool:
        for _ in pool.map(lambda file: store.delete(file.url), orphans):
            pass
    return Garbage(len(orphans), sum(file.size for file in orphans))


def refuse_lost_tables(corpus: Corpus, tiers: Iterable[Tier]) -> None:
    """Check that the catalog knows every table whose metadata and data files exist.

    Raises:
        ConflictError: it does not.
    """
    known = corpus.existing_tables()
    unknown = [table for table in table_names() if table not in known]
    _refuse_unknown_tables(corpus, list(_listed(corpus, tiers, unknown)) if unknown else [])


def _roots(corpus: Corpus, tiers: Iterable[Tier]) -> list[Url]:
    """The folders of a corpus: that in its warehouse, and those in its tiers."""
    home = corpus.warehouse / corpus.name
    return list(dict.fromkeys([home, *(tier.url / corpus.name for tier in tiers)]))


def _listed(
    corpus: Corpus, tiers: Iterable[Tier], tables: Sequence[str] = ()
) -> Iterator[TableFileInfo]:
    home, *others = _roots(corpus, tiers)
    for root in (home, *others):
        for each in table_files(corpus.store, root, tables):
            if each.kind == "data" or root == home:
                yield each


def _needed(corpus: Corpus, tiers: Iterable[Tier], listed: Sequence[TableFileInfo]) -> set[str]:
    """Names of files that are not proven to be garbage of this corpus."""
    unproven = [read_unproven(corpus.store, root) for root in _roots(corpus, tiers)]
    return referenced_names(corpus).union(names_of_newer_metadata(corpus, listed), *unproven)


def _refuse_unknown_tables(corpus: Corpus, listed: Sequence[TableFileInfo]) -> None:
    known = corpus.existing_tables()
    found = {(each.table, each.kind) for each in listed}
    for table in table_names():
        if table not in known and {(table, "data"), (table, "metadata")} <= found:
            raise ConflictError(
                f"the catalog has no table {corpus.name}.{table}, but below "
                f"{corpus.warehouse / corpus.name / table} are its metadata and data",
                hint="check `warehouse` and [catalog], or restore the catalog's database; if the "
                "table was dropped on purpose, delete its folder",
            )


def _is_older(file: FileInfo, limit_ns: int) -> bool:
    return file.modified_ns is not None and file.modified_ns < limit_ns


def _abandoned(corpus: Corpus, limit_ns: int) -> Iterator[FileInfo]:
    folder = corpus.warehouse / STAGING
    runs: defaultdict[str, list[FileInfo]] = defaultdict(list)
    for file in corpus.store.find(folder):
        run = str(file.url).removeprefix(f"{folder}/").partition("/")[0]
        runs[run].append(file)
    for run_files in runs.values():
        if all(_is_older(file, limit_ns) for file in run_files):
            yield from run_files


def _input_urls(corpus: Corpus) -> set[str]:
    return {
        str(Url.parse(uri))
        for file in corpus.table("inputs").files()
        for batch in read_batches(corpus.store, file.location, ["uri"], None, _BATCH_BYTES)
        for uri in batch.column(0).to_pylist()
    }
