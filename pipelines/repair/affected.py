"""Which documents a damaged file takes away, by the ids and inputs that users know them by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.errors import InputError
from strata.pipelines.readers.records import POSITION_BITS
from strata.pipelines.registry import read_registry
from strata.pipelines.repair.wanted import DOCUMENT_TABLES, wanted_of
from strata.pipelines.retraction.gone import Gone
from strata.storage.catalog import Corpus
from strata.storage.integrity.verify import FileCheck, Finding
from strata.storage.records import LAST_ID, TableFile
from strata.storage.row_lookup import find_rows
from strata.storage.store import Store

__all__ = ["LISTED", "Affected", "affected_by"]

LISTED = 1_000
"""So many documents of a file are listed by name."""

NAMED = ("documents", "clean")


@dataclass(frozen=True, slots=True)
class Affected:
    """What a damaged file held.

    Attributes:
        table: its table.
        url: the file.
        rows: rows that the catalog counts in it.
        first_doc_id: smallest document id; None where the table has none.
        last_doc_id: largest document id.
        inputs: URLs of the input files that its documents come from, as far as they are known.
        documents: up to ``LISTED`` of them, by number and, where another table has it, user's id.
    """

    table: str
    url: str
    rows: int
    first_doc_id: int | None = None
    last_doc_id: int | None = None
    inputs: tuple[str, ...] = ()
    documents: tuple[tuple[int, str | None], ...] = ()


def affected_by(corpus: Corpus, store: Store, findings: Collection[FileCheck]) -> list[Affected]:
    """What the files of some findings held, in their order; foreign files hold nothing of ours."""
    lookup = _Lookup(corpus, store, frozenset(check.file.url for check in findings))
    return [
        lookup.affected(check.table, check.file)
        for check in findings
        if check.finding is not Finding.FOREIGN
    ]


class _Lookup:
    """Asks the files that are sound what the others held."""

    def __init__(self, corpus: Corpus, store: Store, bad: frozenset[str]) -> None:
        self._corpus = corpus
        self._store = store
        self._bad = bad
        self._inputs = self._read_inputs()

    def affected(self, table: str, file: TableFile) -> Affected:
        if file.max_doc_id == LAST_ID:
            return Affected(table, file.url, file.rows)
        ids = self._ids(table, file)
        shown = ids[:LISTED]
        names = self._names(shown)
        return Affected(
            table,
            file.url,
            file.rows,
            file.min_doc_id,
            file.max_doc_id,
            self._input_urls(file, ids),
            tuple((doc_id, names.get(doc_id)) for doc_id in shown.tolist()),
        )

    def _ids(self, table: str, file: TableFile) -> NDArray[np.int64]:
        if table not in DOCUMENT_TABLES:
            return np.empty(0, np.int64)
        found = wanted_of(self._corpus, self._store, table, [file], self._bad, Gone.of(()))
        # More than its rows are documents that might be in it: not all of them survive.
        is_known = found.among is not None and len(found.among) == file.rows
        return found.among if is_known and found.among is not None else np.empty(0, np.int64)

    def _input_urls(self, file: TableFile, ids: NDArray[np.int64]) -> tuple[str, ...]:
        first, last = file.min_doc_id >> POSITION_BITS, file.max_doc_id >> POSITION_BITS
        held = set((ids >> POSITION_BITS).tolist())
        return tuple(
            uri
            for ordinal, uri in self._inputs.items()
            if (ordinal in held if held else first <= ordinal <= last)
        )

    def _read_inputs(self) -> Mapping[int, str]:
        try:
            return {each.ordinal: each.uri for each in read_registry(self._corpus, self._store)}
        except InputError:
            # The registry itself is damaged, and among the findings.
            return {}

    def _names(self, doc_ids: NDArray[np.int64]) -> dict[int, str]:
        names: dict[int, str] = {}
        for table in NAMED:
            for file in self._corpus.table(table).files():
                held = (doc_ids >= file.min_doc_id) & (doc_ids <= file.max_doc_id)
                rest = doc_ids[held & ~np.isin(doc_ids, list(names))]
                if file.url not in self._bad and len(rest):
                    for batch in self._rows(file, rest):
                        pairs = (batch.column(place).to_pylist() for place in (0, 1))
                        names.update(zip(*pairs, strict=True))
        return names

    def _rows(self, file: TableFile, doc_ids: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
        try:
            yield from find_rows(self._store, file.location, "doc_id", ["doc_id", "id"], doc_ids)
        except InputError:
            # Only sizes may have been looked at, so damage may show here; the name stays unknown.
            return
