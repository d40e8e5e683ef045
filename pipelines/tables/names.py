"""From document ids to the users' ids, sources and texts, in this corpus and reference corpora."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from strata.pipelines.tables.lookup import Row, TableLookup
from strata.pipelines.tables.other_corpora import (
    Origin,
    ReferenceDocument,
    origins_of,
    reference_document,
)
from strata.storage.contracts.store import Store
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.tables.catalog import Corpus

__all__ = ["DocumentName", "DocumentNames", "ReferenceName", "reference_names", "reference_rows"]


@dataclass(frozen=True, slots=True)
class DocumentName:
    """What a document is called.

    Attributes:
        id: the user's id; None where the documents have changed since.
        source: name of its source; empty for a document of a reference corpus.
        corpus: the reference corpus that it belongs to; None for a document of this one.
    """

    id: str | None
    source: str
    corpus: str | None


class DocumentNames:
    """Names and texts of documents, looked up once.

    Args:
        corpus: the corpus.
        store: where its files are.
        tables: its tables.
        inputs: rows of `inputs`, by ordinal.
    """

    def __init__(
        self, corpus: Corpus, store: Store, tables: TableLookup, inputs: Mapping[int, Row]
    ) -> None:
        self._corpus = corpus
        self._store = store
        self._tables = tables
        self._inputs = inputs
        self._origins: tuple[Origin, ...] | None = None
        self._known: dict[int, DocumentName] = {}

    def preload(self, doc_ids: Collection[int]) -> None:
        """Look names up together; one by one, each would read a row group."""
        unknown = set(doc_ids) - self._known.keys()
        own = {doc_id for doc_id in unknown if doc_id >= 0}
        rows = self._tables.rows("documents", ("doc_id", "id"), own)
        for doc_id in own:
            source = self._inputs.get(doc_id >> POSITION_BITS, {}).get("source", "")
            name = rows[doc_id]["id"] if doc_id in rows else None
            self._known[doc_id] = DocumentName(name, source, None)
        if others := unknown - own:
            found = reference_names(self._corpus, self._store, others, self.origins())
            self._known |= {n: DocumentName(name.id, "", name.corpus) for n, name in found.items()}

    def __getitem__(self, doc_id: int) -> DocumentName:
        if doc_id not in self._known:
            self.preload([doc_id])
        return self._known[doc_id]

    def texts(self, doc_ids: Collection[int]) -> dict[int, str]:
        """The texts of those documents that still exist."""
        columns = ("doc_id", "text")
        rows = self._tables.rows("documents", columns, [each for each in doc_ids if each >= 0])
        others = {n: reference_document(n, self.origins()) for n in doc_ids if n < 0}
        rows |= reference_rows(self._corpus, self._store, others, columns)
        return {doc_id: row["text"] for doc_id, row in rows.items()}

    def origins(self) -> tuple[Origin, ...]:
        """The reference corpora that ids below 0 belong to."""
        if self._origins is None:
            self._origins = origins_of(self._corpus.table("clusters"))
        return self._origins


@dataclass(frozen=True, slots=True)
class ReferenceName:
    """A document of a reference corpus: the corpus, and the user's id there.

    The id is the ``doc_id`` where that corpus no longer has the document.
    """

    corpus: str
    id: str


def reference_names(
    corpus: Corpus, store: Store, numbers: Collection[int], origins: Sequence[Origin]
) -> dict[int, ReferenceName]:
    """Names of the documents with these ids below 0, each looked up in its corpus."""
    documents = {number: reference_document(number, origins) for number in numbers}
    rows = reference_rows(corpus, store, documents, ("doc_id", "id"))
    return {
        number: ReferenceName(
            document.corpus, rows[number]["id"] if number in rows else str(document.doc_id)
        )
        for number, document in documents.items()
    }


def reference_rows(
    corpus: Corpus, store: Store, documents: Mapping[int, ReferenceDocument], columns: Sequence[str]
) -> dict[int, Row]:
    """Rows of `documents` of reference corpora, by our ids below 0 for their documents.

    ``columns`` must include doc_id. A document that its corpus no longer has is left out.
    """
    found: dict[int, Row] = {}
    for name in sorted({document.corpus for document in documents.values()}):
        wanted = {number: each.doc_id for number, each in documents.items() if each.corpus == name}
        lookup = TableLookup(corpus.sibling(name), store)
        rows = lookup.rows("documents", columns, set(wanted.values()))
        found |= {number: rows[doc_id] for number, doc_id in wanted.items() if doc_id in rows}
    return found
