"""The table `retractions`: what was taken out, by which selector, and whether it is finished.

The rows of a retraction are published before anything is taken out, with the state "open"; one more
snapshot, without rows, marks it as done. In between, other stages refuse to start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.keys import stage_key
from strata.pipelines.tables.doc_set import DocumentSet
from strata.pipelines.tables.state import Tables
from strata.storage.contracts.store import Store
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches

__all__ = [
    "Retraction",
    "Selector",
    "SelectorKind",
    "emptied_ordinals",
    "read_retraction",
    "retraction_rows",
    "selectors_of",
]

BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Retraction:
    """A retraction as recorded in the table.

    Attributes:
        key: identifies it by what it takes out, and from which documents.
        selectors: what it was asked to take out.
        reason: why.
        asked_ms: when it was requested, in milliseconds since 1970, UTC.
        retracted: the documents.
    """

    key: str
    selectors: tuple[Selector, ...]
    reason: str | None
    asked_ms: int
    retracted: DocumentSet

    @property
    def done_key(self) -> str:
        """Content key of the table `retractions` once the retraction is done."""
        return stage_key("retraction-done", 1, [self.key], {})


def retraction_rows(tables: Tables, store: Store) -> pa.Table:
    """All rows of the table."""
    schema = SCHEMAS["retractions"]
    batches = [
        batch
        for file in tables.table("retractions").files()
        for batch in read_batches(store, file.location, schema.names, None, BATCH_BYTES)
    ]
    return pa.Table.from_batches(
        [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in batches], schema
    )


def read_retraction(tables: Tables, store: Store, key: str) -> Retraction:
    """A retraction by its key."""
    rows = retraction_rows(tables, store)
    rows = rows.filter(pc.equal(rows["retraction"], key))
    return Retraction(
        key=key,
        selectors=tuple(sorted(selectors_of(rows))),
        reason=rows["reason"][0].as_py(),
        asked_ms=rows["asked_ms"][0].as_py(),
        retracted=DocumentSet(_distinct(rows["doc_id"]), _distinct(rows["ordinal"])),
    )


def selectors_of(rows: pa.Table) -> set[Selector]:
    """The selectors of some rows of the table."""
    pairs = zip(rows["kind"].to_pylist(), rows["value"].to_pylist(), strict=True)
    return {Selector(SelectorKind(kind), value) for kind, value in pairs}


def emptied_ordinals(tables: Tables, store: Store) -> frozenset[int]:
    """Input files whose documents are all retracted."""
    return frozenset(retraction_rows(tables, store)["ordinal"].drop_null().to_pylist())


def _distinct(column: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = np.unique(column.drop_null().to_numpy()).astype(np.int64)
    return values


class SelectorKind(StrEnum):
    """What the value of a selector names."""

    ID = "id"
    """The documents with this id of the user's."""
    DOC_ID = "doc_id"
    """The document with this number."""
    URL = "url"
    """The documents with this address."""
    SOURCE = "source"
    """All documents of a source."""
    CLUSTER = "cluster"
    """All members of the duplicate cluster of a document; by the user's id, else by doc_id."""


@dataclass(frozen=True, slots=True, order=True)
class Selector:
    """One thing that a retraction is asked to take out."""

    kind: SelectorKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind} {self.value!r}"
