"""`strata export`: a table as Parquet or JSON lines, for people, tests and other tools."""

from __future__ import annotations

import sys

import msgspec

from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.read_log import log_driver_reads
from strata.pipelines.export.formats import WRITERS
from strata.pipelines.export.rows import (
    export_batches,
    export_schema,
)
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.tables.catalog import open_corpus
from strata.storage.transfer.metering import MeteredStore

__all__ = ["export_table"]


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
            for count in WRITERS[form](sink, batches, export_schema(table)):
                rows += count
        log_driver_reads(corpus, "export", store.meter)
    facts = {"table": table, "rows": rows, "file": str(url)}
    said = f"{rows:,} rows of {table} in {url}"
    line = msgspec.json.encode(facts).decode() if output is OutputForm.JSON else said
    sys.stdout.write(line + "\n")
