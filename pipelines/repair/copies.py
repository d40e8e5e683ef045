"""Other files with rows of a table: of other snapshots, of a rewrite, or not collected yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from strata.errors import InputError
from strata.pipelines.repair.state import CorpusState
from strata.storage.integrity.checksums import RowsChecksum, checksum_of
from strata.storage.records import CONTENT_KEY, TableFile
from strata.storage.scan import open_parquet
from strata.storage.store import Store
from strata.storage.tiers import Tier
from strata.storage.url import Url

__all__ = ["checksum_in_footer", "equal_copies", "files_of_same_result", "rebuilt_files"]


def files_of_same_result(
    state: CorpusState, table: str, damaged_urls: Collection[str]
) -> list[TableFile]:
    """Other files of the same result: those that were rewritten, or took their place."""
    from strata.storage.history import generation

    owner = state.corpus.table(table)
    iceberg = owner.existing()
    if iceberg is None:
        return []
    same = generation(iceberg.metadata, state.ref)
    found = {file.url: file for each in same for file in owner.files(each)}
    live = {file.url for file in state.files(table)}
    return [file for url, file in found.items() if url not in live and url not in damaged_urls]


def rebuilt_files(state: CorpusState, table: str, damaged_urls: Collection[str]) -> list[TableFile]:
    """The files of the present table, where it is another copy of what a tag names.

    A table that was cleared and made anew from the same documents and settings has the same rows,
    in files that may be cut elsewhere.
    """
    key = state.property(table, CONTENT_KEY)
    present = CorpusState(state.corpus)
    # Other engines give no key, and none of them equals another.
    if state.is_present or key is None or key != present.property(table, CONTENT_KEY):
        return []
    files, lost = present.files(table), state.files(table)
    is_whole = sum(file.rows for file in files) == sum(file.rows for file in lost)
    return [] if not is_whole or any(file.url in damaged_urls for file in files) else files


def equal_copies(
    state: CorpusState,
    tiers: Iterable[Tier],
    table: str,
    sought: Collection[RowsChecksum],
    damaged_urls: Collection[str],
) -> dict[str, str]:
    """Files outside of the table that hold just the rows of a checksum, by its text."""
    wanted = {checksum.to_text() for checksum in sought}
    unfit = {file.location for file in state.files(table)} | {
        Url.parse(url) for url in damaged_urls
    }
    corpus = state.corpus
    found: dict[str, str] = {}
    for root in sorted({corpus.warehouse, *(tier.url for tier in tiers)}):
        for file in corpus.store.find(root / corpus.name / table / "data"):
            if file.url in unfit or file.url.suffix != ".parquet" or len(found) == len(wanted):
                continue
            checksum = checksum_in_footer(corpus.store, file.url)
            if checksum is not None and checksum.to_text() in wanted:
                found[checksum.to_text()] = str(file.url)
    return found


def checksum_in_footer(store: Store, url: Url) -> RowsChecksum | None:
    """The checksum of a file whose footer can be read and holds one."""
    try:
        with open_parquet(store, url) as scan:
            return checksum_of(scan.metadata)
    except InputError:
        return None
