"""Files of fingerprints that tests make from texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from strata.pipelines.kernels.content_hash import content_hash, hash64
from strata.pipelines.kernels.minhash import Sketches, sketch
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.writing.parquet import ParquetLayout, TableWriter


def strings(values: Sequence[str]) -> pa.LargeStringArray:
    return pa.array(values, pa.large_string())


def fingerprints(
    store: Store,
    folder: Url,
    texts: Sequence[str],
    ids: Sequence[str],
    group_bytes: int = 32_000_000,
    first: int = 10,
) -> tuple[str, Sketches]:
    """A file of fingerprints of texts, made with the kernels; document ids count from ``first``."""
    sketches = sketch(strings(texts), 3)
    flat = [row.tobytes() for row in sketches.signature]
    schema = SCHEMAS["fingerprints"]
    columns = {
        "doc_id": pa.array(np.arange(first, first + len(texts)), pa.int64()),
        "source": pa.array(["s"] * len(texts)),
        "n_bytes": pa.array([len(text) for text in texts], pa.int64()),
        "n_shingles": pa.array(sketches.n_shingles),
        "content_hash": content_hash(strings(texts)),
        "id_hash": pa.array(hash64(strings(ids))),
        "signature": pa.array(flat, schema.field("signature").type),
    }
    layout = ParquetLayout("zstd", 3, group_bytes, 128_000_000)
    with TableWriter(store, folder, "fingerprints", layout, "test") as writer:
        batch = pa.RecordBatch.from_arrays([columns[n] for n in schema.names], schema=schema)
        writer.write(batch)
        (file,) = writer.close()
    return file.url, sketches
