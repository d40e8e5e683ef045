"""The table `retractions`: what was taken out, by which rule, and whether it is finished.

The rows of a retraction are published before anything is taken out, with the state "open"; its end
is one more snapshot without rows. In between, other stages refuse to work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.errors import ConflictError
from strata.keys import stage_key
from strata.pipelines.retraction.gone import DocumentSet
from strata.pipelines.retraction.request import Selector, SelectorKind
from strata.storage.catalog import Corpus
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import Store

__all__ = [
    "RETRACTION",
    "STATE",
    "Retraction",
    "RetractionGuard",
    "RetractionState",
    "emptied_ordinals",
    "read_retraction",
    "retraction_rows",
    "selectors_of",
    "unfinished",
]

RETRACTION = "strata.retraction"
STATE = "strata.retraction-state"
BATCH_BYTES = 8_000_000


class RetractionState(StrEnum):
    """How far the newest retraction is."""

    OPEN = "open"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Retraction:
    """A retraction as the table has it.

    Attributes:
        key: names it by what it takes out of what.
        selectors: what was asked for.
        reason: why.
        asked_ms: when, in milliseconds since 1970, UTC.
        retracted: the documents.
    """

    key: str
    selectors: tuple[Selector, ...]
    reason: str | None
    asked_ms: int
    retracted: DocumentSet

    @property
    def done_key(self) -> str:
        """Content key of the table `retractions` at the end."""
        return stage_key("retraction-done", 1, [self.key], {})


def retraction_rows(corpus: Corpus, store: Store) -> pa.Table:
    """All rows of the table."""
    schema = SCHEMAS["retractions"]
    batches = [
        batch
        for file in corpus.table("retractions").files()
        for batch in read_batches(store, file.location, schema.names, None, BATCH_BYTES)
    ]
    return pa.Table.from_batches(
        [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in batches], schema
    )


def read_retraction(corpus: Corpus, store: Store, key: str) -> Retraction:
    """A retraction by its key."""
    rows = retraction_rows(corpus, store)
    rows = rows.filter(pc.equal(rows["retraction"], key))
    return Retraction(
        key=key,
        selectors=tuple(sorted(selectors_of(rows))),
        reason=rows["reason"][0].as_py(),
        asked_ms=rows["asked_ms"][0].as_py(),
        retracted=DocumentSet(_distinct(rows["doc_id"]), _distinct(rows["ordinal"])),
    )


def selectors_of(rows: pa.Table) -> set[Selector]:
    """All that some rows were asked by."""
    pairs = zip(rows["kind"].to_pylist(), rows["value"].to_pylist(), strict=True)
    return {Selector(SelectorKind(kind), value) for kind, value in pairs}


def emptied_ordinals(corpus: Corpus, store: Store) -> frozenset[int]:
    """Input files whose documents are all retracted."""
    return frozenset(retraction_rows(corpus, store)["ordinal"].drop_null().to_pylist())


def _distinct(column: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = np.unique(column.drop_null().to_numpy()).astype(np.int64)
    return values


def unfinished(corpus: Corpus) -> str | None:
    """The key of a retraction that was begun and is not finished, if there is one."""
    table = corpus.table("retractions")
    if table.latest_property(STATE) != RetractionState.OPEN:
        return None
    return table.latest_property(RETRACTION)


@dataclass(frozen=True, slots=True)
class RetractionGuard:
    """Holds a stage and retractions apart.

    A stage reads documents for hours; what is retracted meanwhile must not be published by it.
    """

    corpus: Corpus
    seen: str | None

    @classmethod
    def begin(cls, corpus: Corpus) -> RetractionGuard:
        """Make sure that a stage may begin.

        Raises:
            ConflictError: a retraction was begun and is not finished.
        """
        key = unfinished(corpus)
        if key is not None:
            raise ConflictError(
                f"the retraction {key} of corpus {corpus.name} is not finished",
                hint="run `strata retract FILE --resume`; nothing else may publish before",
            )
        return cls(corpus, corpus.table("retractions").content_key)

    def check(self, tables: Sequence[str]) -> None:
        """Make sure that a stage may publish to these tables.

        Raises:
            ConflictError: documents were retracted since the stage began.
        """
        if self.corpus.table("retractions").content_key != self.seen:
            raise ConflictError(
                f"documents of corpus {self.corpus.name} were retracted while the stage was at "
                f"work, so it publishes nothing to {', '.join(tables)}",
                hint="run the same command again",
            )
