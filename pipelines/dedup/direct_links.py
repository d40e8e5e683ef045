"""``link = "direct"``: only documents that are similar to the survivor itself are removed.

The members of a cluster are visited in the order of the survivor rules. A member that is similar to
none of those kept so far is kept too; any other is linked to the first kept one that it is similar
to. A cluster thus splits into stars, and nothing is removed because of a chain of pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from strata.pipelines.dedup.election import Attributes, election_order
from strata.pipelines.dedup.verify_buckets import EDGE_SCHEMA
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.kernels.banding import SKETCH_WORDS
from strata.pipelines.kernels.buckets import BucketScanner, Edges, pack_sketches
from strata.pipelines.kernels.buffers import fixed_matrix
from strata.pipelines.kernels.components import components
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store

__all__ = [
    "MAX_SURVIVORS",
    "MEMBERS",
    "direct_edges",
    "gather_members",
    "member_batches",
]

BATCH_BYTES = 4_000_000
# A cluster costs members x survivors comparisons; beyond this many survivors nothing is removed for
# a further one, so that more documents are kept and never fewer.
MAX_SURVIVORS = 1024
COLUMNS = ["doc_id", "n_bytes", "source", "content_hash", "signature"]
MEMBERS = pa.schema(
    [
        ("doc_id", pa.int64()),
        ("n_bytes", pa.int64()),
        ("source", pa.string()),
        ("content_hash", pa.binary(16)),
        ("sketch", pa.binary(8 * SKETCH_WORDS)),
    ]
)


def member_batches(file: DataFile, storage: StorageOptions) -> Iterator[pa.RecordBatch]:
    """The documents of a file of fingerprints, in batches of MEMBERS."""
    store = open_store(storage)
    for batch in read_batches(store, Url.parse(file.url), COLUMNS, None, BATCH_BYTES):
        packed = pa.py_buffer(
            np.ascontiguousarray(pack_sketches(fixed_matrix(batch.column("signature"))))
        )
        kind = MEMBERS.field("sketch").type
        columns = [
            pa.array(batch.column("doc_id").to_numpy() + file.shift),
            *(batch.column(name) for name in ("n_bytes", "source", "content_hash")),
            pa.FixedSizeBinaryArray.from_buffers(kind, batch.num_rows, [None, packed]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=MEMBERS)


def gather_members(
    context: StageContext, edges: pa.Table, fingerprints: Sequence[DataFile]
) -> pa.Table:
    """The documents in an edge, as a table of MEMBERS sorted by id.

    Args:
        context: the corpus.
        edges: the edges.
        fingerprints: those of all documents that can be in a cluster.
    """
    nodes = np.unique(np.concatenate([edges["a"].to_numpy(), edges["b"].to_numpy()]))
    storage = context.storage_options
    wanted = context.spark().sparkContext.broadcast(nodes)

    def gather(file: DataFile) -> pa.Table:
        found = [
            batch.filter(pa.array(np.isin(batch.column("doc_id").to_numpy(), wanted.value)))
            for batch in member_batches(file, storage)
        ]
        return pa.Table.from_batches(found, MEMBERS)

    tables = run_tasks(context.spark(), gather, fingerprints)
    return pa.concat_tables([MEMBERS.empty_table(), *tables]).sort_by("doc_id").combine_chunks()


def direct_edges(
    edges: pa.Table, members: pa.Table, rules: Sequence[str], threshold: float
) -> pa.Table:
    """Stars around survivors in place of chains.

    Args:
        edges: verified edges, of EDGE_SCHEMA.
        members: the documents in them, sorted by id, of MEMBERS.
        rules: survivor rules.
        threshold: similarity that links a document to a survivor.

    Returns:
        Edges of EDGE_SCHEMA, each from a survivor to a document that is removed for it.
    """
    found = components(edges["a"].to_numpy(), edges["b"].to_numpy())
    cluster = np.unique(found.root, return_inverse=True)[1]
    doc_ids = members["doc_id"].to_numpy()
    own = doc_ids >= 0
    attributes = Attributes(
        doc_ids[own],
        members["n_bytes"].to_numpy()[own],
        members["source"].to_numpy(zero_copy_only=False)[own],
    )
    order = election_order(found.nodes, cluster, rules, attributes)
    place = np.searchsorted(doc_ids, found.nodes[order])
    stars = BucketScanner(threshold, MAX_SURVIVORS).feed(
        cluster[order].astype(np.int64), found.nodes[order], _words(members["sketch"])[place]
    )
    return _table(stars, doc_ids, _words(members["content_hash"]))


def _words(column: pa.ChunkedArray) -> np.ndarray:
    """Fixed-size binary values as uint64[n, width / 8]."""
    array = column.combine_chunks()
    return np.ascontiguousarray(fixed_matrix(array)).view(np.uint64)


def _table(stars: Edges, doc_ids: np.ndarray, hashes: np.ndarray) -> pa.Table:
    a, b = np.searchsorted(doc_ids, stars.a), np.searchsorted(doc_ids, stars.b)
    equal = (hashes[a] == hashes[b]).all(axis=1)
    columns = [stars.a, stars.b, stars.similarity, equal]
    # Pairs of two documents of reference corpora do not concern us.
    return pa.table(columns, schema=EDGE_SCHEMA).filter(pa.array(stars.b >= 0))
