"""The retraction guard: what a stage read must still be there when it publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from strata.errors import ConcurrentChangeError, ConflictError
from strata.storage.layout.properties import RETRACTION, RETRACTION_STATE
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.table import TableReader, TableState

__all__ = ["RetractionGuard", "RetractionState", "unfinished"]


class RetractionState(StrEnum):
    """How far the newest retraction is."""

    OPEN = "open"
    DONE = "done"


def unfinished(corpus: Corpus) -> str | None:
    """The key of the open retraction, if there is one."""
    return _open_key(corpus.table("retractions").state())


def _open_key(retractions: TableReader) -> str | None:
    if retractions.latest_property(RETRACTION_STATE) != RetractionState.OPEN:
        return None
    return retractions.latest_property(RETRACTION)


@dataclass(frozen=True, slots=True)
class RetractionGuard:
    """Keeps a stage and retractions from interfering.

    A stage works for hours; it must not publish documents that are retracted meanwhile.

    Attributes:
        corpus: the corpus.
        retractions: the table `retractions` as it was when the stage began.
    """

    corpus: Corpus
    retractions: TableState

    @classmethod
    def begin(cls, corpus: Corpus) -> RetractionGuard:
        """Make sure that a stage may start.

        Raises:
            ConflictError: a retraction is open.
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
            raise ConcurrentChangeError(
                f"documents of corpus {self.corpus.name} were retracted while the stage was at "
                f"work, so it publishes nothing to {', '.join(tables)}",
                hint="run the same command again",
            )
