"""The rows of an export: documents, survivors, clusters and matches, as record batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.decontamination.matches import NAMED_SCHEMA, batches_with_ids
from strata.pipelines.execution.data_files import DataFile, RemovedBy, data_files
from strata.pipelines.lineage.staleness import fitting_cuts
from strata.pipelines.tables.cuts import TextCutter
from strata.pipelines.tables.names import reference_names
from strata.pipelines.tables.other_corpora import origins_of
from strata.pipelines.tables.removals import removed_ids
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.tables.catalog import Corpus

__all__ = ["export_batches", "export_schema"]

BATCH_BYTES = 16_000_000
CLUSTER_ROWS = 100_000
CLUSTER_SCHEMA = pa.schema(
    [
        ("doc_id", pa.int64()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("kept", pa.bool_()),
        ("kept_id", pa.string()),
        ("cluster_size", pa.int64()),
        ("method", pa.string()),
        ("similarity", pa.float32()),
        ("kept_corpus", pa.string()),
    ]
)


def export_batches(corpus: Corpus, store: Store, table: str) -> Iterator[pa.RecordBatch]:
    """The rows of an export.

    `documents` gives the survivors (every document where dedup has not run) with all their fields,
    and with the cuts applied to their texts; `clusters` and `contained` name documents by the
    users' ids.
    """
    if table == "documents":
        return _survivors(corpus, store)
    if table == "clusters":
        return _clusters(corpus, store)
    if table == "contained":
        return batches_with_ids(corpus, store)
    return _rows(corpus, store, table, SCHEMAS[table].names)


def export_schema(table: str) -> pa.Schema:
    """The columns of an export of a table: the table's own, or those with names in place of ids."""
    return {"clusters": CLUSTER_SCHEMA, "contained": NAMED_SCHEMA}.get(table) or SCHEMAS[table]


def _files(corpus: Corpus, table: str) -> list[TableFile]:
    return sorted(corpus.table(table).files(), key=lambda file: (file.min_doc_id, file.url))


def _rows(corpus: Corpus, store: Store, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for file in _files(corpus, table):
        yield from read_batches(store, Url.parse(file.url), columns, None, BATCH_BYTES)


def _survivors(corpus: Corpus, store: Store) -> Iterator[pa.RecordBatch]:
    contained = data_files(corpus.table("contained").files(), reason=RemovedBy.CONTAINED)
    ledger = (*data_files(corpus.table("clusters").files(), reason=RemovedBy.CLUSTERS), *contained)
    cutter = TextCutter(fitting_cuts(corpus), store)
    for file in _files(corpus, "documents"):
        kept = _kept(file, ledger, store)
        yield from cutter.cut(kept, file.min_doc_id, file.max_doc_id)


def _kept(file: TableFile, ledger: tuple[DataFile, ...], store: Store) -> Iterator[pa.RecordBatch]:
    columns = SCHEMAS["documents"].names
    removed = removed_ids(ledger, file.min_doc_id, file.max_doc_id, store)
    for batch in read_batches(store, Url.parse(file.url), columns, None, BATCH_BYTES):
        keep = ~np.isin(batch.column("doc_id").to_numpy(), removed)
        yield batch.filter(pa.array(keep))


def _clusters(corpus: Corpus, store: Store) -> Iterator[pa.RecordBatch]:
    columns = SCHEMAS["clusters"].names
    schema = pa.schema([SCHEMAS["clusters"].field(name) for name in columns])
    batches = list(_rows(corpus, store, "clusters", columns))
    ledger = pa.Table.from_batches(batches, schema).sort_by("doc_id")
    doc_ids, kept_ids = ledger["doc_id"].to_numpy(), ledger["kept_id"].to_numpy()
    names = _names(corpus, store, doc_ids)
    own, kept = np.searchsorted(doc_ids, doc_ids), np.searchsorted(doc_ids, kept_ids)
    columns_out = {
        name: ledger[name] for name in ("doc_id", "kept", "cluster_size", "method", "similarity")
    }
    columns_out["id"] = names["id"].take(pa.array(own))
    columns_out["source"] = names["source"].take(pa.array(own))
    abroad = _reference_survivors(corpus, store, kept_ids)
    columns_out["kept_id"] = pc.coalesce(abroad["id"], names["id"].take(pa.array(kept)))
    columns_out["kept_corpus"] = abroad["corpus"]
    table = pa.table([columns_out[name] for name in CLUSTER_SCHEMA.names], schema=CLUSTER_SCHEMA)
    yield from table.to_batches(max_chunksize=CLUSTER_ROWS)


def _reference_survivors(corpus: Corpus, store: Store, kept_ids: np.ndarray) -> pa.Table:
    """Id and corpus of the survivors that belong to reference corpora; null for ours."""
    numbers = np.unique(kept_ids[kept_ids < 0])
    origins = origins_of(corpus.table("clusters"))
    found = reference_names(corpus, store, numbers.tolist(), origins)
    names = [found[number] for number in numbers.tolist()]
    place = np.searchsorted(numbers, kept_ids)
    indices = pa.array(place, mask=kept_ids >= 0)
    return pa.table(
        {
            "id": pa.array([name.id for name in names], pa.string()).take(indices),
            "corpus": pa.array([name.corpus for name in names], pa.string()).take(indices),
        }
    )


def _names(corpus: Corpus, store: Store, doc_ids: np.ndarray) -> pa.Table:
    columns = ["doc_id", "id", "source"]
    found = [
        batch.filter(pa.array(np.isin(batch.column("doc_id").to_numpy(), doc_ids)))
        for batch in _rows(corpus, store, "documents", columns)
    ]
    schema = pa.schema([SCHEMAS["documents"].field(name) for name in columns])
    return pa.Table.from_batches(found, schema).sort_by("doc_id")
