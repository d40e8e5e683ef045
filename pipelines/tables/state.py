"""The tables of a corpus at one moment: as they are, or as a tag or branch names them."""

from __future__ import annotations

from dataclasses import dataclass

from strata.storage.layout.records import PRESENT, TableFile
from strata.storage.tables.catalog import Corpus

__all__ = ["CorpusState"]


@dataclass(frozen=True, slots=True)
class CorpusState:
    """One state of all tables.

    Attributes:
        corpus: whose tables.
        ref: a tag or branch; :data:`PRESENT` is the tables as they are.
    """

    corpus: Corpus
    ref: str = PRESENT

    @property
    def is_present(self) -> bool:
        """Whether these are the tables as they are, that stages go on from."""
        return self.ref == PRESENT

    def files(self, table: str) -> list[TableFile]:
        """The data files of a table, by smallest document id; none where it is not in the state."""
        return self.corpus.table(table).files_of_ref(self.ref)

    def property(self, table: str, name: str) -> str | None:
        """A property of the snapshot of a table."""
        return self.corpus.table(table).property_of_ref(self.ref, name)
