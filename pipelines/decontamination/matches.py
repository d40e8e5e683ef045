"""Reading `contained`: a summary for the report, rows for an export, matches of single documents.

The summary counts documents by corpus and lists the items and documents with the most matches. In
an export, documents and items have the users' ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.kernels.runs import run_starts
from strata.pipelines.tables.lookup import Row, TableLookup
from strata.pipelines.tables.other_corpora import BenchmarkCorpus
from strata.pipelines.tables.state import Tables, TableStates
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.tables.catalog import Corpus

__all__ = [
    "NAMED_SCHEMA",
    "NO_MATCHES",
    "ContainmentCounts",
    "Contamination",
    "ItemMatch",
    "ItemMatches",
    "ItemNames",
    "batches_with_ids",
    "item_matches",
    "summarize",
]

BATCH_BYTES = 16_000_000
SHOWN = 10
NAME_BATCH_BYTES = 8_000_000
NAMED_SCHEMA = pa.schema(
    [
        ("doc_id", pa.int64()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("other_corpus", pa.string()),
        ("other_id", pa.string()),
        ("containment", pa.float32()),
        ("matched", pa.int64()),
        ("sample", pa.string()),
    ]
)
COLUMNS = ("doc_id", "other_corpus", "other_id", "containment", "matched", "sample")
MAX_REPORTED = 10


@dataclass(frozen=True, slots=True)
class Contamination:
    """The summary of `contained` in a report.

    Attributes:
        documents: documents that contain an item.
        documents_by_corpus: the same by corpus of the item; a document may count in several.
        items_found: items that some document contains, by corpus.
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
        by_corpus: the same by corpus of the item; a document may count in several.
        items: how many documents contain an item, by corpus and ``doc_id`` of the item.
        most: the few documents with the most items, as ``doc_id`` to number of items.
    """

    documents: int = 0
    by_corpus: Counter[str] = field(default_factory=Counter)
    items: Counter[tuple[str, int]] = field(default_factory=Counter)
    most: dict[int, int] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """Count the rows of whole documents; those of one document must be adjacent."""
        doc_ids = rows["doc_id"].to_numpy()
        corpora = rows["other_corpus"].to_pylist()
        names = rows["other_corpus"].combine_chunks().dictionary_encode().indices.to_numpy()
        first = np.flatnonzero(run_starts(doc_ids))
        self.documents += len(first)
        self.by_corpus.update(corpora[row] for row in np.flatnonzero(run_starts(doc_ids, names)))
        self.items.update(zip(corpora, rows["other_id"].to_pylist(), strict=True))
        counts = np.diff(first, append=len(doc_ids))
        best = np.lexsort((doc_ids[first], -counts))[:SHOWN]
        found = self.most | {int(doc_ids[first[i]]): int(counts[i]) for i in best}
        ordered = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
        self.most = dict(ordered[:SHOWN])


def summarize(
    tables: Tables, corpora: Sequence[BenchmarkCorpus], urls: Sequence[str], store: Store
) -> Contamination:
    """Count the rows of `contained`; memory is bounded by the number of items.

    Args:
        tables: has `documents`, for the ids of those that contain an item.
        corpora: the benchmark corpora.
        urls: the files of `contained`.
        store: where the files are.
    """
    total = ContainmentCounts()
    columns = ["doc_id", "other_corpus", "other_id"]
    for url in urls:
        batches = read_batches(store, Url.parse(url), columns, None, BATCH_BYTES)
        for rows in _whole_documents(batches):
            total.add(rows)
    top = sorted(total.items.items(), key=lambda entry: (-entry[1], entry[0]))[:SHOWN]
    found_in = Counter(corpus for corpus, _ in total.items)
    return Contamination(
        documents=total.documents,
        documents_by_corpus=dict(sorted(total.by_corpus.items())),
        items_found=dict(sorted(found_in.items())),
        top_items=_item_counts_by_id(corpora, dict(top), store),
        top_documents=_document_counts_by_id(TableLookup(tables, store), total.most),
    )


def _whole_documents(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in pieces that never split the rows of a document."""
    rest: pa.Table | None = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        rows = rows if rest is None else pa.concat_tables([rest, rows])
        last = int(np.flatnonzero(run_starts(rows["doc_id"].to_numpy()))[-1]) if len(rows) else 0
        yield from [rows.slice(0, last)] if last else []
        rest = rows.slice(last)
    if rest is not None and len(rest):
        yield rest


def _item_counts_by_id(
    corpora: Sequence[BenchmarkCorpus], counts: Mapping[tuple[str, int], int], store: Store
) -> dict[str, int]:
    held = {each.name: TableStates({"documents": each.documents}) for each in corpora}
    names = ItemNames(held.__getitem__, store).of(list(counts))
    return {
        f"{corpus}: {name}": number
        for ((corpus, _), number), name in zip(counts.items(), names, strict=True)
    }


def _document_counts_by_id(lookup: TableLookup, counts: Mapping[int, int]) -> dict[str, int]:
    rows = lookup.rows("documents", ("doc_id", "id"), counts)
    return {rows[doc_id]["id"]: count for doc_id, count in counts.items()}


class ItemNames:
    """The users' ids of items; each is looked up once, so memory is bounded by the items.

    Args:
        corpora: the tables of each benchmark corpus, by its name.
        store: where their files are.
    """

    def __init__(self, corpora: Callable[[str], Tables], store: Store) -> None:
        self._corpora = corpora
        self._store = store
        self._known: dict[tuple[str, int], str] = {}

    def of(self, items: Sequence[tuple[str, int]]) -> list[str]:
        """Ids of items given as corpus and ``doc_id``.

        It is the ``doc_id`` for an item that its corpus no longer has.
        """
        new = set(items) - self._known.keys()
        for name in sorted({corpus for corpus, _ in new}):
            wanted = [doc_id for corpus, doc_id in new if corpus == name]
            lookup = TableLookup(self._corpora(name), self._store)
            rows = lookup.rows("documents", ("doc_id", "id"), wanted)
            for doc_id in wanted:
                held = rows.get(doc_id)
                self._known[name, doc_id] = held["id"] if held else str(doc_id)
        return [self._known[item] for item in items]


def batches_with_ids(corpus: Corpus, store: Store) -> Iterator[pa.RecordBatch]:
    """The rows of `contained` as batches of NAMED_SCHEMA, file by file."""
    items, documents = ItemNames(corpus.sibling, store), TableLookup(corpus, store)
    for file in corpus.table("contained").files():
        columns = SCHEMAS["contained"].names
        for batch in read_batches(store, Url.parse(file.url), columns, None, NAME_BATCH_BYTES):
            doc_ids = batch.column("doc_id").to_pylist()
            rows = documents.rows("documents", ("doc_id", "id", "source"), set(doc_ids))
            pairs = zip(
                batch.column("other_corpus").to_pylist(),
                batch.column("other_id").to_pylist(),
                strict=True,
            )
            named = {
                **{name: batch.column(name) for name in columns},
                "id": pa.array([rows[each]["id"] for each in doc_ids], pa.string()),
                "source": pa.array([rows[each]["source"] for each in doc_ids], pa.string()),
                "other_id": pa.array(items.of(list(pairs)), pa.string()),
            }
            arrays = [
                named[name].cast(NAMED_SCHEMA.field(name).type) for name in NAMED_SCHEMA.names
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=NAMED_SCHEMA)


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """An item that a document contains.

    Attributes:
        corpus: the corpus of the item.
        id: the user's id of the item.
        containment: share of its n-grams that the document has.
        matched: their number.
        sample: the beginning of the longest run of matched words.
    """

    corpus: str
    id: str
    containment: float
    matched: int
    sample: str


@dataclass(frozen=True, slots=True)
class ItemMatches:
    """The items that a document contains: how many, and the first ten by containment."""

    number: int
    best: tuple[ItemMatch, ...]


NO_MATCHES = ItemMatches(0, ())


def item_matches(
    context: StageContext, tables: TableLookup, doc_ids: Collection[int]
) -> Mapping[int, ItemMatches]:
    """The matches by document; documents without an item are left out."""
    wanted = np.array(sorted(doc_ids), np.int64)
    found: dict[int, list[Row]] = {}
    for batch in tables.batches_of("contained", "doc_id", COLUMNS, wanted):
        for row in batch.to_pylist():
            found.setdefault(row["doc_id"], []).append(row)
    names = ItemNames(context.corpus.sibling, context.store)
    return {doc_id: _matches(rows, names) for doc_id, rows in found.items()}


def _matches(rows: list[Row], names: ItemNames) -> ItemMatches:
    ordered = sorted(
        rows, key=lambda row: (-row["containment"], row["other_corpus"], row["other_id"])
    )
    best = ordered[:MAX_REPORTED]
    ids = names.of([(row["other_corpus"], row["other_id"]) for row in best])
    return ItemMatches(
        len(rows),
        tuple(
            ItemMatch(
                corpus=row["other_corpus"],
                id=name,
                containment=round(row["containment"], 4),
                matched=row["matched"],
                sample=row["sample"],
            )
            for row, name in zip(best, ids, strict=True)
        ),
    )
