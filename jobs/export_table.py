"""`strata export`: a table as Parquet or JSON lines, for people, tests and other tools."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from strata.jobs.runtime.output import OutputForm
from strata.jobs.runtime.read_log import log_driver_reads
from strata.pipelines.contained_names import NAMED_SCHEMA, batches_with_ids
from strata.pipelines.cut_lookup import TextCutter, fitting_cuts
from strata.pipelines.foreign import origins_of
from strata.pipelines.foreign_names import reference_names
from strata.pipelines.ledger_lookup import (
    LedgerFile,
    files_of_contained,
    files_of_ledger,
    removed_ids,
)
from strata.settings import Settings
from strata.storage.catalog import Corpus, open_corpus
from strata.storage.records import TableFile
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import MeteredStore, Output, StorageOptions, Store, open_store
from strata.storage.url import Url

__all__ = ["export_batches", "export_table"]

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


def export_table(
    settings: Settings, table: str, form: str, target: str, *, output: OutputForm = OutputForm.TEXT
) -> None:
    """Write a table below a folder as one file, in the order of the document ids.

    Args:
        settings: the corpus.
        table: documents, clusters, contained, rejects or tokens.
        form: parquet or jsonl.
        target: the folder, any fsspec URL or a path.
        output: how the summary is printed.
    """
    store = MeteredStore(open_store(StorageOptions.of(settings)))
    url = Url.parse(target) / f"{table}.{form}"
    rows = 0
    with open_corpus(settings) as corpus:
        with store.create(url) as sink:
            batches = export_batches(corpus, store, table)
            for count in WRITERS[form](sink, batches, _schema(table)):
                rows += count
        log_driver_reads(corpus, "export", store.meter)
    facts = {"table": table, "rows": rows, "file": str(url)}
    said = f"{rows:,} rows of {table} in {url}"
    line = msgspec.json.encode(facts).decode() if output is OutputForm.JSON else said
    sys.stdout.write(line + "\n")


def export_batches(corpus: Corpus, store: Store, table: str) -> Iterator[pa.RecordBatch]:
    """The rows of an export.

    `documents` are the survivors (every document where dedup has not run) with all their fields,
    their text without what the table `cuts` cuts from it;
    `clusters` and `contained` name documents by the user's ids.
    """
    if table == "documents":
        return _survivors(corpus, store)
    if table == "clusters":
        return _clusters(corpus, store)
    if table == "contained":
        return batches_with_ids(corpus, store)
    return _rows(corpus, store, table, SCHEMAS[table].names)


def _schema(table: str) -> pa.Schema:
    return {"clusters": CLUSTER_SCHEMA, "contained": NAMED_SCHEMA}.get(table) or SCHEMAS[table]


def _files(corpus: Corpus, table: str) -> list[TableFile]:
    return sorted(corpus.table(table).files(), key=lambda file: (file.min_doc_id, file.url))


def _rows(corpus: Corpus, store: Store, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for file in _files(corpus, table):
        yield from read_batches(store, Url.parse(file.url), columns, None, BATCH_BYTES)


def _survivors(corpus: Corpus, store: Store) -> Iterator[pa.RecordBatch]:
    contained = files_of_contained(corpus.table("contained").files())
    ledger = (*files_of_ledger(corpus.table("clusters").files()), *contained)
    cutter = TextCutter(fitting_cuts(corpus), store)
    for file in _files(corpus, "documents"):
        kept = _kept(file, ledger, store)
        yield from cutter.cut(kept, file.min_doc_id, file.max_doc_id)


def _kept(
    file: TableFile, ledger: tuple[LedgerFile, ...], store: Store
) -> Iterator[pa.RecordBatch]:
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
    """Id and corpus of the survivors that are documents of other corpora, null for ours."""
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


def _write_parquet(
    sink: Output, batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[int]:
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema))
            yield batch.num_rows


def _write_jsonl(
    sink: Output, batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[int]:
    encoder = msgspec.json.Encoder()
    binary = [field.name for field in schema if pa.types.is_fixed_size_binary(field.type)]
    for batch in batches:
        lines = [encoder.encode(_plain(row, binary)) for row in batch.to_pylist()]
        sink.write(b"\n".join([*lines, b""]))
        yield batch.num_rows


def _plain(row: dict[str, object], binary: list[str]) -> dict[str, object]:
    for name in binary:
        value = row[name]
        row[name] = value.hex() if isinstance(value, bytes) else value
    if isinstance(metadata := row.get("metadata"), str):
        row["metadata"] = msgspec.Raw(metadata.encode())
    return row


WRITERS: Mapping[str, Callable[[Output, Iterator[pa.RecordBatch], pa.Schema], Iterator[int]]] = {
    "parquet": _write_parquet,
    "jsonl": _write_jsonl,
}
