"""Foreign files: files in a table's folder that no snapshot has and Strata has not left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from strata.storage.contracts.store import FileInfo
from strata.storage.layout.file_names import facts_of_name
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.referenced_files import referenced_names
from strata.storage.writing.tiers import Tier

__all__ = ["ForeignFile", "foreign_files"]

# Half-written files on stores that rename; they become garbage when their writer dies.
_TEMPORARY = ".tmp"


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file in the data folder of a table."""

    table: str
    file: FileInfo


def foreign_files(
    corpus: Corpus, tiers: Iterable[Tier], tables: Sequence[str]
) -> list[ForeignFile]:
    """Files that no snapshot of any table refers to and that no writer of Strata named.

    What Strata has left over, such as after a crash, is an orphan, not a foreign file.

    Args:
        corpus: the corpus.
        tiers: all tiers that hold files of it.
        tables: names of the tables whose data folders are listed.

    Raises:
        ConflictError: a table vanished meanwhile.
        InputMissingError: metadata of a table is missing, so foreign files cannot be identified.
    """
    strangers = {each.file.url: each for each in _unnamed(corpus, tiers, tables)}
    known = referenced_names(corpus) if strangers else set()
    return [each for url, each in sorted(strangers.items()) if url.name not in known]


def _unnamed(corpus: Corpus, tiers: Iterable[Tier], tables: Sequence[str]) -> Iterator[ForeignFile]:
    roots = {corpus.warehouse, *(tier.url for tier in tiers)}
    for root in sorted(roots):
        for table in tables:
            for file in corpus.store.find(root / corpus.name / table / "data"):
                name = file.url.name
                if not facts_of_name(name).codec and not name.endswith(_TEMPORARY):
                    yield ForeignFile(table, file)
