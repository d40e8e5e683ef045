"""The tables of a corpus at one moment: now, as a tag or branch names them, or as a stage began.

A stage that works on the tables as it loaded them sees the same snapshots from start to end.
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
    """Finds tables by name: those of a corpus as it is now, or as they were loaded earlier."""

    def table(self, name: str) -> TableReader:
        """A table by its name."""


@dataclass(frozen=True, slots=True)
class TableStates:
    """Some tables of a corpus, each as it was when it was loaded.

    Attributes:
        by_name: the tables; there are no others.
    """

    by_name: Mapping[str, TableState]

    @classmethod
    def load(cls, corpus: Corpus, names: Iterable[str]) -> TableStates:
        """Load some tables, each by one request to the catalog."""
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
        """Whether these are the present tables, on which stages build."""
        return self.ref == PRESENT

    def files(self, table: str) -> list[TableFile]:
        """The data files of a table, by smallest document id; none if the state lacks the table."""
        return self.corpus.table(table).files_of_ref(self.ref)

    def property(self, table: str, name: str) -> str | None:
        """A property of the snapshot of a table."""
        return self.corpus.table(table).property_of_ref(self.ref, name)
