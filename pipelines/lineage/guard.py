"""A lock against retractions: what a stage read must still be there when it publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from strata.errors import ConflictError
from strata.storage.layout.properties import RETRACTION, RETRACTION_STATE
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.table import TableReader, TableState

__all__ = ["RetractionGuard", "RetractionState", "unfinished"]


class RetractionState(StrEnum):
    """How far the newest retraction is."""

    OPEN = "open"
    DONE = "done"


def unfinished(corpus: Corpus) -> str | None:
    """The key of a retraction that was begun and is not finished, if there is one."""
    return _open_key(corpus.table("retractions").state())


def _open_key(retractions: TableReader) -> str | None:
    if retractions.latest_property(RETRACTION_STATE) != RetractionState.OPEN:
        return None
    return retractions.latest_property(RETRACTION)


@dataclass(frozen=True, slots=True)
class RetractionGuard:
    """Holds a stage and retractions apart.

    A stage reads documents for hours; what is retracted meanwhile must not be published by it.

    Attributes:
        corpus: the corpus.
        retractions: the table `retractions` as it was when the stage began.
    """

    corpus: Corpus
    retractions: TableState

    @classmethod
    def begin(cls, corpus: Corpus) -> RetractionGuard:
        """Make sure that a stage may begin.

        Raises:
            ConflictError: a retraction was begun and is not finished.
        """
        retractions = corpus.table("retractions").state()
        key = _open_key(retractions)
        if key is not None:
            raise ConflictError(
                f"the retraction {key} of corpus {corpus.name} is not finished",
                hint="run `strata retract FILE --resume`; nothing else may publish before",
            )
        return cls(corpus, retractions)

    def check(self, tables: Sequence[str]) -> None:
        """Make sure that a stage may publish to these tables.

        Raises:
            ConflictError: documents were retracted since the stage began.
        """
        if self.corpus.table("retractions").content_key != self.retractions.content_key:
            raise ConflictError(
                f"documents of corpus {self.corpus.name} were retracted while the stage was at "
                f"work, so it publishes nothing to {', '.join(tables)}",
                hint="run the same command again",
            )
