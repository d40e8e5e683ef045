"""The registry of inputs: which files a corpus has read, under which ordinal, with what result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from strata.pipelines.readers.split import InputFile
from strata.pipelines.shard_plan import KnownInput
from strata.pipelines.shard_task import InputCount
from strata.storage.catalog import Corpus
from strata.storage.records import TableFile
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import Store

__all__ = ["manifest_rows", "read_input_manifest", "read_inputs"]

BATCH_BYTES = 8_000_000


def read_input_manifest(corpus: Corpus, store: Store) -> list[KnownInput]:
    """The inputs that a corpus has read, in ordinal order."""
    return read_inputs(corpus.table("inputs").files(), store)


def read_inputs(files: Iterable[TableFile], store: Store) -> list[KnownInput]:
    """The inputs in files of the table `inputs`, in ordinal order."""
    columns = ["uri", "ordinal", "cause"]
    known = [
        KnownInput(**row)
        for file in files
        for batch in read_batches(store, file.location, columns, None, BATCH_BYTES)
        for row in batch.to_pylist()
    ]
    return sorted(known, key=lambda entry: entry.ordinal)


def manifest_rows(
    files: Sequence[InputFile], counts: Mapping[int, InputCount], broken: Mapping[int, object]
) -> pa.RecordBatch:
    """Rows of the table `inputs` for files that were just read."""
    rows = []
    for file in files:
        count = counts.get(file.ordinal, InputCount())
        status = "read" if count.records else "empty"
        rows.append(_row(file, count, "broken" if file.ordinal in broken else status))
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMAS["inputs"])


def _row(file: InputFile, count: InputCount, status: str) -> dict[str, object]:
    return {
        "uri": file.uri,
        "ordinal": file.ordinal,
        "size": file.size,
        "identity": file.identity,
        "source": file.source,
        "format": str(file.format),
        "cause": file.cause,
        "status": status,
        "rows": count.documents,
        "rejected": sum(count.rejected.values()),
    }
