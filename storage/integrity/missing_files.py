"""Whether the data files of tables are where the catalog says, by listing their folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.tables.catalog import Corpus

__all__ = ["MissingFile", "missing_files"]


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A data file of a present table that is not in its folder."""

    table: str
    file: TableFile


def missing_files(corpus: Corpus, tables: Iterable[str]) -> list[MissingFile]:
    """The data files of present tables that are not there; one listing for each folder of files.

    Args:
        corpus: the corpus.
        tables: their names; tables that do not exist have no files.
    """
    listed: dict[Url, frozenset[Url]] = {}
    missing: list[MissingFile] = []
    for table in tables:
        for file in corpus.table(table).files():
            folder = file.folder
            if folder not in listed:
                listed[folder] = frozenset(info.url for info in corpus.store.find(folder))
            if file.location not in listed[folder]:
                missing.append(MissingFile(table, file))
    return missing
