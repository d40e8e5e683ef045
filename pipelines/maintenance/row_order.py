"""Orders of the rows inside a file that place similar rows next to each other.

A codec sees one page of a column at a time, so only rows close together compress each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from strata.pipelines.execution.data_files import DataFile, data_files
from strata.pipelines.tables.state import Tables
from strata.settings import RowOrder
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches

__all__ = ["clusters_of", "ledger_for", "row_places"]

_BATCH_BYTES = 8_000_000
# The sort keys before doc_id, which makes every order total.
_KEYS = {
    RowOrder.DOC_ID: (),
    RowOrder.CLUSTER: (),
    RowOrder.SOURCE: ("source", "lang"),
    RowOrder.URL: ("url",),
}


def ledger_for(tables: Tables, order: RowOrder) -> tuple[DataFile, ...]:
    """The files of the ledger that an order needs; without a ledger no document has a cluster."""
    if order is not RowOrder.CLUSTER:
        return ()
    return data_files(tables.table("clusters").files())


def row_places(
    rows: pa.RecordBatch, order: RowOrder, ledger: Sequence[DataFile], store: Store
) -> NDArray[np.int64]:
    """Indices of the rows in the given order, int64[n]; ties are ordered by ``doc_id``.

    Args:
        rows: rows with a ``doc_id``.
        order: the order; a column that the table lacks is ignored.
        ledger: files of `clusters`, for the order by cluster.
        store: where they are.
    """
    keys = [(name, "ascending") for name in _KEYS[order] if name in rows.schema.names]
    wanted = pa.Table.from_batches([rows.select(["doc_id", *(name for name, _ in keys)])])
    if order is RowOrder.CLUSTER:
        kept = clusters_of(rows.column("doc_id").to_numpy(), ledger, store)
        wanted = wanted.append_column("kept_id", pa.array(kept))
        keys = [("kept_id", "ascending")]
    indices = pc.sort_indices(wanted, [*keys, ("doc_id", "ascending")])
    places: NDArray[np.int64] = indices.to_numpy().astype(np.int64)
    return places


def clusters_of(
    doc_ids: NDArray[np.int64], ledger: Sequence[DataFile], store: Store
) -> NDArray[np.int64]:
    """The survivor of each document's cluster, int64[n]; the document itself where it has none."""
    kept = doc_ids.copy()
    if not len(doc_ids):
        return kept
    order = np.argsort(doc_ids)
    known = doc_ids[order]
    for file in ledger:
        if file.max_doc_id < known[0] or file.min_doc_id > known[-1]:
            continue
        names = ["doc_id", "kept_id"]
        for batch in read_batches(store, Url.parse(file.url), names, None, _BATCH_BYTES):
            ids, kept_ids = (batch.column(name).to_numpy() for name in names)
            place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            found = known[place] == ids
            kept[order[place[found]]] = kept_ids[found]
    return kept
