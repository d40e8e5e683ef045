"""Arrow schemas of the tables, with the Parquet field ids that Iceberg tracks columns by.

A field id belongs to its column for ever: a new column takes the next free id, and a dropped one
leaves a gap.
"""

from __future__ import annotations

import pyarrow as pa

__all__ = [
    "CLEAN",
    "CLUSTERS",
    "CONTAINED",
    "CUTS",
    "DOCUMENTS",
    "EDGES",
    "FIELD_ID",
    "FINGERPRINTS",
    "HASH_BYTES",
    "INPUTS",
    "REJECTS",
    "RETRACTIONS",
    "SCHEMAS",
    "SIGNATURE_BYTES",
    "TOKENS",
]

FIELD_ID = b"PARQUET:field_id"
HASH_BYTES = 16
SIGNATURE_BYTES = 256


def _required(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={FIELD_ID: str(number).encode()})


def _optional(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return _required(name, kind, number).with_nullable(True)


DOCUMENTS = pa.schema(
    [
        _required("doc_id", pa.int64(), 1),
        _required("id", pa.string(), 2),
        _required("text", pa.large_string(), 3),
        _required("source", pa.string(), 4),
        _optional("lang", pa.string(), 5),
        _optional("url", pa.string(), 6),
        _optional("metadata", pa.large_string(), 7),
        _required("n_bytes", pa.int64(), 8),
        _required("content_hash", pa.binary(HASH_BYTES), 9),
        _optional("created", pa.timestamp("us", tz="UTC"), 10),
    ]
)
CLEAN = DOCUMENTS

FINGERPRINTS = pa.schema(
    [
        _required("doc_id", pa.int64(), 1),
        _required("source", pa.string(), 2),
        _required("n_bytes", pa.int64(), 3),
        _required("n_shingles", pa.int64(), 4),
        _required("content_hash", pa.binary(HASH_BYTES), 5),
        _required("id_hash", pa.int64(), 6),
        _required("signature", pa.binary(SIGNATURE_BYTES), 7),
    ]
)

REJECTS = pa.schema(
    [
        _required("uri", pa.string(), 1),
        _required("ordinal", pa.int64(), 2),
        _required("position", pa.int64(), 3),
        _required("reason", pa.string(), 4),
        _optional("excerpt", pa.string(), 5),
        _required("source", pa.string(), 6),
    ]
)

INPUTS = pa.schema(
    [
        _required("uri", pa.string(), 1),
        _required("ordinal", pa.int64(), 2),
        _required("size", pa.int64(), 3),
        _required("identity", pa.string(), 4),
        _required("source", pa.string(), 5),
        _required("format", pa.string(), 6),
        _required("status", pa.string(), 7),
        _required("rows", pa.int64(), 8),
        _required("rejected", pa.int64(), 9),
        _required("cause", pa.string(), 10),
    ]
)

CLUSTERS = pa.schema(
    [
        _required("doc_id", pa.int64(), 1),
        _required("kept_id", pa.int64(), 2),
        _required("cluster_size", pa.int64(), 3),
        _required("kept", pa.bool_(), 4),
        _required("method", pa.string(), 5),
        _required("similarity", pa.float32(), 6),
    ]
)

EDGES = pa.schema(
    [
        _required("a", pa.int64(), 1),
        _required("b", pa.int64(), 2),
        _required("similarity", pa.float32(), 3),
        _required("equal", pa.bool_(), 4),
    ]
)

CONTAINED = pa.schema(
    [
        _required("doc_id", pa.int64(), 1),
        _required("other_corpus", pa.string(), 2),
        _required("other_id", pa.int64(), 3),
        _required("containment", pa.float32(), 4),
        _required("matched", pa.int64(), 5),
        _required("sample", pa.string(), 6),
    ]
)

CUTS = pa.schema(
    [
        _required("doc_id", pa.int64(), 1),
        _required("start", pa.int64(), 2),
        _required("end", pa.int64(), 3),
        _required("grain", pa.string(), 4),
        _required("first_id", pa.int64(), 5),
        _required("first_start", pa.int64(), 6),
    ]
)

TOKENS = pa.schema(
    [
        _required("doc_id", pa.int64(), 1),
        _required("source", pa.string(), 2),
        _required("n_tokens", pa.int32(), 3),
        _required("tokens", pa.list_(_required("element", pa.int32(), 5)), 4),
    ]
)

RETRACTIONS = pa.schema(
    [
        _optional("doc_id", pa.int64(), 1),
        _required("retraction", pa.string(), 2),
        _required("kind", pa.string(), 3),
        _required("value", pa.string(), 4),
        _optional("ordinal", pa.int64(), 5),
        _optional("id_hash", pa.int64(), 6),
        _optional("content_hash", pa.binary(HASH_BYTES), 7),
        _optional("own_id", pa.bool_(), 8),
        _optional("reason", pa.string(), 9),
        _required("asked_ms", pa.int64(), 10),
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    "inputs": INPUTS,
    "documents": DOCUMENTS,
    "rejects": REJECTS,
    "fingerprints": FINGERPRINTS,
    "edges": EDGES,
    "clusters": CLUSTERS,
    "cuts": CUTS,
    "contained": CONTAINED,
    "clean": CLEAN,
    "tokens": TOKENS,
    "retractions": RETRACTIONS,
}
"""The schemas by table name, as in :data:`strata.tables.DECLARED`."""
