"""The users' ids of documents of other corpora."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from strata.pipelines.foreign import Origin, ReferenceDocument, reference_document
from strata.pipelines.table_lookup import Row, TableLookup
from strata.storage.catalog import Corpus
from strata.storage.store import Store

__all__ = ["ReferenceName", "reference_names", "reference_rows"]


@dataclass(frozen=True, slots=True)
class ReferenceName:
    """A document of another corpus: the corpus, and the user's id there.

    The id is the ``doc_id`` where that corpus does not hold the document any more.
    """

    corpus: str
    id: str


def reference_names(
    corpus: Corpus, store: Store, numbers: Collection[int], origins: Sequence[Origin]
) -> dict[int, ReferenceName]:
    """Name the documents with these ids below 0, each of which is looked up in its corpus."""
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
    """Rows of `documents`, with doc_id among the columns, by the ids below 0 of ours.

    A document that its corpus does not hold any more has none.
    """
    found: dict[int, Row] = {}
    for name in sorted({document.corpus for document in documents.values()}):
        wanted = {number: each.doc_id for number, each in documents.items() if each.corpus == name}
        lookup = TableLookup(corpus.sibling(name), store)
        rows = lookup.rows("documents", columns, set(wanted.values()))
        found |= {number: rows[doc_id] for number, doc_id in wanted.items() if doc_id in rows}
    return found
