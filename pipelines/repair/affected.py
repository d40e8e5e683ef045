"""Which documents damaged or missing files held, found in the other tables that have them too.

They are reported by the ids and input files that users know them by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.errors import InputError
from strata.pipelines.tables.doc_set import DocumentSet
from strata.pipelines.tables.inputs import read_inputs
from strata.pipelines.tables.state import CorpusState
from strata.storage.contracts.store import Store
from strata.storage.integrity.verify import FileCheck, Finding
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.layout.records import LAST_ID, TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.row_lookup import find_rows
from strata.storage.reading.scan import read_batches
from strata.storage.tables.catalog import Corpus
from strata.tables import DECLARED

__all__ = [
    "LISTED",
    "AffectedRows",
    "MissingRows",
    "find_affected",
    "find_missing_rows",
]

LISTED = 1_000
"""At most this many documents of a file are listed by name."""
BATCH_BYTES = 8_000_000


def _named_tables() -> list[str]:
    """Tables with the user's id of each of their documents."""
    rows = [each.name for each in DECLARED.values() if each.has_row_a_document]
    return [name for name in rows if "id" in SCHEMAS[name].names]


@dataclass(frozen=True, slots=True)
class AffectedRows:
    """What a damaged file held.

    Attributes:
        table: its table.
        url: the file.
        rows: rows that the catalog counts in it.
        first_doc_id: smallest document id; None where the table has none.
        last_doc_id: largest document id.
        inputs: URLs of the input files that its documents come from, as far as they are known.
        documents: up to ``LISTED`` of them, by ``doc_id`` and, where another table has it, the
            user's id.
    """

    table: str
    url: str
    rows: int
    first_doc_id: int | None = None
    last_doc_id: int | None = None
    inputs: tuple[str, ...] = ()
    documents: tuple[tuple[int, str | None], ...] = ()


def find_affected(
    corpus: Corpus, store: Store, findings: Collection[FileCheck]
) -> list[AffectedRows]:
    """What the files of some findings held, in their order, without foreign files."""
    lookup = _Lookup(corpus, store, frozenset(check.file.url for check in findings))
    return [lookup.affected(check) for check in findings if check.finding is not Finding.FOREIGN]


class _Lookup:
    """Looks up in sound files what the damaged ones held."""

    def __init__(self, corpus: Corpus, store: Store, damaged_urls: frozenset[str]) -> None:
        self._corpus = corpus
        self._store = store
        self._bad = damaged_urls
        self._inputs: dict[str, Mapping[int, str]] = {}

    def affected(self, check: FileCheck) -> AffectedRows:
        table, file, state = check.table, check.file, CorpusState(self._corpus, check.state_ref)
        if file.max_doc_id == LAST_ID:
            return AffectedRows(table, file.url, file.rows)
        ids = self._ids(state, table, file)
        shown = ids[:LISTED]
        names = self._names(state, shown)
        return AffectedRows(
            table,
            file.url,
            file.rows,
            file.min_doc_id,
            file.max_doc_id,
            self._input_urls(state, file, ids),
            tuple((doc_id, names.get(doc_id)) for doc_id in shown.tolist()),
        )

    def _ids(self, state: CorpusState, table: str, file: TableFile) -> NDArray[np.int64]:
        if not DECLARED[table].has_row_a_document:
            return np.empty(0, np.int64)
        try:
            found = find_missing_rows(
                state, self._store, table, [file], self._bad, DocumentSet.of(())
            )
        except InputError:
            # Another file that the lookup needs turns out to be damaged as well.
            return np.empty(0, np.int64)
        # More ids than rows are only candidates: not all of these documents survive.
        is_known = found.known_ids is not None and len(found.known_ids) == file.rows
        return (
            found.known_ids if is_known and found.known_ids is not None else np.empty(0, np.int64)
        )

    def _input_urls(
        self, state: CorpusState, file: TableFile, ids: NDArray[np.int64]
    ) -> tuple[str, ...]:
        first, last = file.min_doc_id >> POSITION_BITS, file.max_doc_id >> POSITION_BITS
        held = set((ids >> POSITION_BITS).tolist())
        return tuple(
            uri
            for ordinal, uri in self._inputs_of(state).items()
            if (ordinal in held if held else first <= ordinal <= last)
        )

    def _inputs_of(self, state: CorpusState) -> Mapping[int, str]:
        if state.ref not in self._inputs:
            files = state.files("inputs")
            # Where the input manifest itself is damaged, that is among the findings.
            with suppress(InputError):
                known = read_inputs(files, self._store)
                self._inputs[state.ref] = {each.ordinal: each.uri for each in known}
        return self._inputs.setdefault(state.ref, {})

    def _names(self, state: CorpusState, doc_ids: NDArray[np.int64]) -> dict[int, str]:
        names: dict[int, str] = {}
        for table in _named_tables():
            for file in state.files(table):
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
            # Verification may have compared only sizes, so damage may show up here; the name then
            # stays unknown.
            return


@dataclass(frozen=True, slots=True)
class MissingRows:
    """The documents that a repair looks for.

    Attributes:
        low: smallest possible document id.
        high: largest possible one.
        present: int64[n], ascending; documents in this range that are there already.
        known_ids: int64[m], ascending; exactly these are missing. None where no table knows them.
        retracted: documents that must not come back; used only where ``known_ids`` is None.
    """

    low: int
    high: int
    present: NDArray[np.int64]
    known_ids: NDArray[np.int64] | None
    retracted: DocumentSet

    def contains(self, doc_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these documents are missing: int64[k] -> bool[k]."""
        held: NDArray[np.bool_] = (doc_ids >= self.low) & (doc_ids <= self.high)
        held &= ~np.isin(doc_ids, self.present)
        if self.known_ids is None:
            return held & ~self.retracted.contains(doc_ids)
        return held & np.isin(doc_ids, self.known_ids)

    def without(self, doc_ids: NDArray[np.int64]) -> MissingRows:
        """What is still missing once these documents have been found."""
        return replace(self, present=np.union1d(self.present, doc_ids))


def find_missing_rows(
    state: CorpusState,
    store: Store,
    table: str,
    broken: Sequence[TableFile],
    damaged_urls: Collection[str],
    retracted: DocumentSet,
) -> MissingRows:
    """The documents of broken files of one table.

    Args:
        state: the state of the tables that has the files.
        store: where its files are.
        table: a table with one row per document.
        broken: the files.
        damaged_urls: URLs of all files that cannot be trusted, of every table.
        retracted: retracted documents.
    """
    low, high = min(f.min_doc_id for f in broken), max(f.max_doc_id for f in broken)
    sound = [file for file in state.files(table) if file.url not in damaged_urls]
    present = _ids_between(store, sound, low, high)
    for twin in DECLARED[table].twins:
        files = state.files(twin)
        if any(file.url in damaged_urls and _meet(file, low, high) for file in files):
            continue
        try:
            known_ids = _ids_between(store, files, low, high)
        except InputError:
            # Closer verification of that table reports this as a finding of its own.
            continue
        if len(known_ids):
            return MissingRows(low, high, present, np.setdiff1d(known_ids, present), retracted)
    return MissingRows(low, high, present, None, retracted)


def _ids_between(
    store: Store, files: Sequence[TableFile], low: int, high: int
) -> NDArray[np.int64]:
    """Documents between two ids, both included, ascending."""
    found = [
        batch.column(0).to_numpy()
        for file in files
        if _meet(file, low, high)
        for batch in read_batches(store, file.location, ["doc_id"], None, BATCH_BYTES)
    ]
    ids = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    return ids[(ids >= low) & (ids <= high)]


def _meet(file: TableFile, low: int, high: int) -> bool:
    return file.min_doc_id <= high and file.max_doc_id >= low
