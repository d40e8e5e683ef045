"""The users' ids of documents of other corpora."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from strata.pipelines.foreign import Origin, foreign_document
from strata.pipelines.table_lookup import TableLookup
from strata.storage.catalog import Corpus
from strata.storage.store import Store

__all__ = ["ForeignName", "foreign_names"]


@dataclass(frozen=True, slots=True)
class ForeignName:
    """A document of another corpus: the corpus, and the user's id there.

    The id is the ``doc_id`` where that corpus does not hold the document any more.
    """

    corpus: str
    id: str


def foreign_names(
    corpus: Corpus, store: Store, numbers: Collection[int], origins: Sequence[Origin]
) -> dict[int, ForeignName]:
    """Name the documents with these ids below 0, each of which is looked up in its corpus."""
    found = {number: foreign_document(number, origins) for number in numbers}
    names: dict[int, ForeignName] = {}
    for name in sorted({document.corpus for document in found.values()}):
        wanted = {number: each.doc_id for number, each in found.items() if each.corpus == name}
        lookup = TableLookup(corpus.sibling(name), store)
        rows = lookup.rows("documents", ("doc_id", "id"), np.unique(list(wanted.values())))
        for number, doc_id in wanted.items():
            row = rows.get(doc_id)
            names[number] = ForeignName(name, row["id"] if row else str(doc_id))
    return names
