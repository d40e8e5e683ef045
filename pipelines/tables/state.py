"""The tables of a corpus at one moment: as they are, or as a tag or branch names them.

And as they were when a stage began, which then gives the same answer to every question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from strata.storage.layout.records import PRESENT, TableFile
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.table import TableReader, TableState

__all__ = ["CorpusState", "TableStates", "Tables"]


class Tables(Protocol):
    """Where tables are found by name: a corpus as it is, or its tables as they were loaded."""

    def table(self, name: str) -> TableReader:
        """A table by its name."""


@dataclass(frozen=True, slots=True)
class TableStates:
    """Some tables of a corpus, each as it was when it was loaded.

    Attributes:
        by_name: the tables; no others can be asked for.
    """

    by_name: Mapping[str, TableState]

    @classmethod
    def load(cls, corpus: Corpus, names: Iterable[str]) -> TableStates:
        """Ask the catalog once for each of some tables."""
        return cls({name: corpus.table(name).state() for name in names})

    def table(self, name: str) -> TableState:
        """A table by its name."""
        return self.by_name[name]


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
