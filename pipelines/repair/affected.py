"""Which documents a damaged file takes away, by the ids and inputs that users know them by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.errors import InputError
from strata.pipelines.readers.records import POSITION_BITS
from strata.pipelines.registry import read_inputs
from strata.pipelines.repair.state import CorpusState
from strata.pipelines.repair.wanted import DOCUMENT_TABLES, find_missing_rows
from strata.pipelines.retraction.gone import DocumentSet
from strata.storage.catalog import Corpus
from strata.storage.integrity.verify import FileCheck, Finding
from strata.storage.records import LAST_ID, TableFile
from strata.storage.row_lookup import find_rows
from strata.storage.store import Store

__all__ = ["LISTED", "AffectedRows", "find_affected"]

LISTED = 1_000
"""So many documents of a file are listed by name."""

NAMED = ("documents", "clean")


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
        documents: up to ``LISTED`` of them, by number and, where another table has it, user's id.
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
    """What the files of some findings held, in their order; foreign files hold nothing of ours."""
    lookup = _Lookup(corpus, store, frozenset(check.file.url for check in findings))
    return [lookup.affected(check) for check in findings if check.finding is not Finding.FOREIGN]


class _Lookup:
    """Asks the files that are sound what the others held."""

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
        if table not in DOCUMENT_TABLES:
            return np.empty(0, np.int64)
        try:
            found = find_missing_rows(
                state, self._store, table, [file], self._bad, DocumentSet.of(())
            )
        except InputError:
            # A file beside it is damaged too, which nobody has looked into yet.
            return np.empty(0, np.int64)
        # More than its rows are documents that might be in it: not all of them survive.
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
            # Where the registry itself is damaged, that is among the findings.
            with suppress(InputError):
                known = read_inputs(files, self._store)
                self._inputs[state.ref] = {each.ordinal: each.uri for each in known}
        return self._inputs.setdefault(state.ref, {})

    def _names(self, state: CorpusState, doc_ids: NDArray[np.int64]) -> dict[int, str]:
        names: dict[int, str] = {}
        for table in NAMED:
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
            # Only sizes may have been looked at, so damage may show here; the name stays unknown.
            return
