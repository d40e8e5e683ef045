"""The rows of `contained` with the users' ids of documents and items, for an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from strata.pipelines.table_lookup import TableLookup
from strata.storage.catalog import Corpus
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import Store
from strata.storage.url import Url

__all__ = ["NAMED_SCHEMA", "ItemNames", "batches_with_ids"]

BATCH_BYTES = 8_000_000
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


class ItemNames:
    """The users' ids of items; each is looked up once, so memory is bounded by the items."""

    def __init__(self, corpus: Corpus, store: Store) -> None:
        self._corpus = corpus
        self._store = store
        self._known: dict[tuple[str, int], str] = {}

    def of(self, items: Sequence[tuple[str, int]]) -> list[str]:
        """Ids of items given as corpus and ``doc_id``.

        It is the ``doc_id`` for an item that its corpus does not hold any more.
        """
        new = set(items) - self._known.keys()
        for name in sorted({corpus for corpus, _ in new}):
            wanted = [doc_id for corpus, doc_id in new if corpus == name]
            lookup = TableLookup(self._corpus.sibling(name), self._store)
            rows = lookup.rows("documents", ("doc_id", "id"), wanted)
            for doc_id in wanted:
                held = rows.get(doc_id)
                self._known[name, doc_id] = held["id"] if held else str(doc_id)
        return [self._known[item] for item in items]


def batches_with_ids(corpus: Corpus, store: Store) -> Iterator[pa.RecordBatch]:
    """The rows of `contained` as batches of NAMED_SCHEMA, file by file."""
    items, documents = ItemNames(corpus, store), TableLookup(corpus, store)
    for file in corpus.table("contained").files():
        columns = SCHEMAS["contained"].names
        for batch in read_batches(store, Url.parse(file.url), columns, None, BATCH_BYTES):
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
