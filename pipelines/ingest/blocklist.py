"""Tombstones keep retracted documents out when inputs are read again, or a new copy of one is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from strata.pipelines.readers.records import ReadBatch
from strata.pipelines.readers.rejects import Reject, RejectReason
from strata.pipelines.readers.split import InputFile
from strata.pipelines.tables.retractions import SelectorKind, retraction_rows
from strata.pipelines.tables.state import Tables
from strata.storage.contracts.store import Store
from strata.storage.layout.doc_ids import POSITION_BITS

__all__ = ["Tombstones"]


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The rules by which a record that is read counts as retracted.

    Attributes:
        content: int64[n, 2], content hashes of retracted documents, ascending by their first half.
        id_hash: int64[n], hashes of their ids.
        own_id: bool[n], whether the record had an id of its own; an id derived from the position of
            a record differs in another file, so for such records the content alone decides.
        urls: URLs that were retracted.
        sources: sources that were retracted.
    """

    content: NDArray[np.int64]
    id_hash: NDArray[np.int64]
    own_id: NDArray[np.bool_]
    urls: frozenset[str]
    sources: frozenset[str]

    @classmethod
    def read(cls, tables: Tables, store: Store) -> Tombstones:
        """The tombstones in the table `retractions`."""
        rows = retraction_rows(tables, store)
        single = rows.filter(pc.is_valid(rows["content_hash"])).combine_chunks()
        data = b"".join(single["content_hash"].to_pylist())
        content = np.frombuffer(data, "<i8").reshape(-1, 2)
        order = np.argsort(content[:, 0], kind="stable")
        return cls(
            content[order],
            single["id_hash"].to_numpy()[order],
            single["own_id"].to_numpy()[order].astype(bool),
            _values(rows, SelectorKind.URL),
            _values(rows, SelectorKind.SOURCE),
        )

    def __bool__(self) -> bool:
        return bool(len(self.content) or self.urls or self.sources)

    def without(self, batch: ReadBatch, file: InputFile) -> ReadBatch:
        """The batch with its retracted documents turned into rejects without an excerpt."""
        found = self._found(batch.documents, file)
        if not found.any():
            return batch
        places = batch.documents.column("doc_id").to_numpy()[found] & ((1 << POSITION_BITS) - 1)
        more = [
            Reject(file.uri, file.ordinal, int(place), RejectReason.RETRACTED, "", file.source)
            for place in places
        ]
        kept = batch.documents.filter(pa.array(~found))
        rejects = sorted([*batch.rejects, *more], key=lambda entry: entry.position)
        return replace(batch, documents=kept, rejects=rejects)

    def _found(self, documents: pa.RecordBatch, file: InputFile) -> NDArray[np.bool_]:
        if file.source in self.sources:
            return np.ones(documents.num_rows, bool)
        found = np.zeros(documents.num_rows, bool)
        if self.urls:
            listed = pc.is_in(documents.column("url"), pa.array(sorted(self.urls)))
            found |= listed.to_numpy(zero_copy_only=False)
        if len(self.content) and documents.num_rows:
            found |= self._by_content(documents)
        return found

    def _by_content(self, documents: pa.RecordBatch) -> NDArray[np.bool_]:
        from strata.pipelines.kernels.content_hash import content_hash, hash64

        data = content_hash(documents.column("text")).buffers()[1]
        content = np.frombuffer(data, "<i8")[: 2 * documents.num_rows].reshape(-1, 2)
        found = np.zeros(documents.num_rows, bool)
        first = self.content[:, 0]
        likely = np.flatnonzero(np.isin(content[:, 0], first))
        ids = hash64(documents.column("id").take(pa.array(likely)))
        for row, id_hash in zip(likely, ids, strict=True):
            low = np.searchsorted(first, content[row, 0], "left")
            high = np.searchsorted(first, content[row, 0], "right")
            same = self.content[low:high, 1] == content[row, 1]
            same &= ~self.own_id[low:high] | (self.id_hash[low:high] == id_hash)
            found[row] = same.any()
        return found


def _values(rows: pa.Table, kind: SelectorKind) -> frozenset[str]:
    return frozenset(rows.filter(pc.equal(rows["kind"], str(kind)))["value"].to_pylist())
