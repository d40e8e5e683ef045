"""Older files of a table that are still on a store: of former snapshots, or not collected yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from strata.errors import InputError
from strata.storage.catalog import Corpus
from strata.storage.integrity.checksums import RowsChecksum, checksum_of
from strata.storage.records import TableFile
from strata.storage.scan import open_parquet
from strata.storage.store import Store
from strata.storage.tiers import Tier
from strata.storage.url import Url

__all__ = ["checksum_in_footer", "equal_copies", "older_files"]


def older_files(corpus: Corpus, table: str, bad: Collection[str]) -> list[TableFile]:
    """Files that held rows of the present result before they were rewritten."""
    from strata.storage.history import generation

    owner = corpus.table(table)
    iceberg = owner.existing()
    if iceberg is None:
        return []
    found = {f.url: f for each in generation(iceberg.metadata) for f in owner.files(each)}
    live = {file.url for file in owner.files()}
    return [file for url, file in found.items() if url not in live and url not in bad]


def equal_copies(
    corpus: Corpus, tiers: Iterable[Tier], table: str, sought: Collection[RowsChecksum]
) -> dict[str, str]:
    """Files outside of the table that hold just the rows of a checksum, by its text."""
    wanted = {checksum.to_text() for checksum in sought}
    live = {Url.parse(file.url) for file in corpus.table(table).files()}
    found: dict[str, str] = {}
    for root in sorted({corpus.warehouse, *(tier.url for tier in tiers)}):
        for file in corpus.store.find(root / corpus.name / table / "data"):
            if file.url in live or file.url.suffix != ".parquet" or len(found) == len(wanted):
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
