"""What `contained` says in all: documents by corpus, the items and documents with most matches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from strata.pipelines.contained_names import ItemNames
from strata.pipelines.stage import StageContext
from strata.pipelines.table_lookup import TableLookup
from strata.storage.scan import read_batches
from strata.storage.url import Url

__all__ = ["ContainmentCounts", "Contamination", "summarize"]

BATCH_BYTES = 16_000_000
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Contamination:
    """What a report tells of `contained`.

    Attributes:
        documents: documents that contain an item.
        documents_by_corpus: the same by the corpus of the item; a document counts in each.
        items_found: items that a document contains, by corpus.
        top_items: the items that most documents contain, as ``corpus: id``, with their number.
        top_documents: the documents with most items, by id.
    """

    documents: int
    documents_by_corpus: Mapping[str, int]
    items_found: Mapping[str, int]
    top_items: Mapping[str, int]
    top_documents: Mapping[str, int]


@dataclass(slots=True)
class ContainmentCounts:
    """The rows of `contained`, counted.

    Attributes:
        documents: documents that contain an item.
        by_corpus: the same by the corpus of the item; a document counts in each.
        items: how many documents contain an item, by corpus and ``doc_id`` of the item.
        most: documents with the most items, ``doc_id`` to number, the first few.
    """

    documents: int = 0
    by_corpus: Counter[str] = field(default_factory=Counter)
    items: Counter[tuple[str, int]] = field(default_factory=Counter)
    most: dict[int, int] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """Count the rows of whole documents, each of which has its rows together."""
        doc_ids = rows["doc_id"].to_numpy()
        corpora = rows["other_corpus"].to_pylist()
        names = rows["other_corpus"].combine_chunks().dictionary_encode().indices.to_numpy()
        first = np.flatnonzero(_changes(doc_ids))
        self.documents += len(first)
        self.by_corpus.update(
            corpora[row] for row in np.flatnonzero(_changes(doc_ids) | _changes(names))
        )
        self.items.update(zip(corpora, rows["other_id"].to_pylist(), strict=True))
        counts = np.diff(first, append=len(doc_ids))
        best = np.lexsort((doc_ids[first], -counts))[:SHOWN]
        found = self.most | {int(doc_ids[first[i]]): int(counts[i]) for i in best}
        ordered = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
        self.most = dict(ordered[:SHOWN])


def summarize(context: StageContext) -> Contamination:
    """Count the rows of `contained`; memory is bounded by the number of items."""
    total = ContainmentCounts()
    columns = ["doc_id", "other_corpus", "other_id"]
    for file in context.corpus.table("contained").files():
        batches = read_batches(context.store, Url.parse(file.url), columns, None, BATCH_BYTES)
        for rows in _whole_documents(batches):
            total.add(rows)
    top = sorted(total.items.items(), key=lambda entry: (-entry[1], entry[0]))[:SHOWN]
    found_in = Counter(corpus for corpus, _ in total.items)
    return Contamination(
        documents=total.documents,
        documents_by_corpus=dict(sorted(total.by_corpus.items())),
        items_found=dict(sorted(found_in.items())),
        top_items=_item_counts_by_id(context, dict(top)),
        top_documents=_document_counts_by_id(context, total.most),
    )


def _changes(values: np.ndarray) -> np.ndarray:
    changes = np.ones(len(values), bool)
    changes[1:] = values[1:] != values[:-1]
    return changes


def _whole_documents(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in pieces that do not cut the rows of a document in two."""
    rest: pa.Table | None = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        rows = rows if rest is None else pa.concat_tables([rest, rows])
        last = int(np.flatnonzero(_changes(rows["doc_id"].to_numpy()))[-1]) if len(rows) else 0
        yield from [rows.slice(0, last)] if last else []
        rest = rows.slice(last)
    if rest is not None and len(rest):
        yield rest


def _item_counts_by_id(
    context: StageContext, counts: Mapping[tuple[str, int], int]
) -> dict[str, int]:
    names = ItemNames(context.corpus, context.store).of(list(counts))
    return {
        f"{corpus}: {name}": number
        for ((corpus, _), number), name in zip(counts.items(), names, strict=True)
    }


def _document_counts_by_id(context: StageContext, counts: Mapping[int, int]) -> dict[str, int]:
    lookup = TableLookup(context.corpus, context.store)
    rows = lookup.rows("documents", ("doc_id", "id"), counts)
    return {rows[doc_id]["id"]: count for doc_id, count in counts.items()}
