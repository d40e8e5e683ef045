"""Where rows of a table may still be had from; read in a worker, one batch after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from strata.pipelines.ledger_lookup import LedgerFile
from strata.pipelines.readers.split import ReadLimits, Split
from strata.pipelines.repair.wanted import MissingRows
from strata.pipelines.shard_task import document_rows, fingerprint_rows
from strata.pipelines.token_task import Part, TokenResult, cut_survivors, token_rows
from strata.pipelines.tokenizer_spec import TokenizerSpec
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import Store
from strata.storage.url import Url

__all__ = [
    "RowSource",
    "RowsFromClean",
    "RowsFromCopies",
    "RowsFromEncoding",
    "RowsFromInputs",
    "RowsFromSketching",
    "RowsFromSurvivors",
]

BATCH_BYTES = 4_000_000


class RowSource(Protocol):
    """Gives rows of one table; more than are wanted, in any order, and perhaps not all."""

    @property
    def name(self) -> str:
        """What a report calls it."""

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """Read it; ``wanted`` may spare work.

        Raises:
            InputError: it is damaged, or gone.
            BrokenFile: an input file is damaged.
        """


@dataclass(frozen=True, slots=True)
class RowsFromCopies:
    """Rows of other files of the table: those of other snapshots, or left over by a rewrite."""

    table: str
    urls: tuple[str, ...]
    name: str = "another copy"

    def batches(self, store: Store, _: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """All rows of the files."""
        for url in self.urls:
            names = SCHEMAS[self.table].names
            yield from read_batches(store, Url.parse(url), names, None, BATCH_BYTES)


@dataclass(frozen=True, slots=True)
class RowsFromClean:
    """Rows of `documents` from `clean`, where the fingerprints say that nothing was cut."""

    urls: tuple[str, ...]
    fingerprints: tuple[str, ...]
    name: str = "clean"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """Rows whose content hash is that of the fingerprint."""
        known = self._hashes(store, wanted)
        for batch in RowsFromCopies("documents", self.urls).batches(store, wanted):
            pairs = zip(
                batch.column("doc_id").to_pylist(),
                batch.column("content_hash").to_pylist(),
                strict=True,
            )
            yield batch.filter(pa.array([known.get(number) == value for number, value in pairs]))

    def _hashes(self, store: Store, wanted: MissingRows | None) -> dict[int, bytes]:
        known: dict[int, bytes] = {}
        for url in self.fingerprints:
            columns = ["doc_id", "content_hash"]
            for batch in read_batches(store, Url.parse(url), columns, None, BATCH_BYTES):
                sought = _wanted_rows(batch, wanted)
                known.update(zip(*(c.to_pylist() for c in sought.columns), strict=True))
        return known


@dataclass(frozen=True, slots=True)
class RowsFromInputs:
    """Rows of `documents` from the input files, which have to be as they were then."""

    splits: tuple[Split, ...]
    limits: ReadLimits
    name: str = "the input files"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The documents of the files."""
        from strata.pipelines.readers.read import read_split

        for split in self.splits:
            for read in read_split(store, split, self.limits):
                sought = _wanted_rows(read.documents, wanted)
                if sought.num_rows:
                    yield document_rows(sought)


@dataclass(frozen=True, slots=True)
class RowsFromSketching:
    """Rows of `fingerprints` from `documents`."""

    urls: tuple[str, ...]
    ngram: int
    name: str = "documents"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The fingerprints of the documents that are sought."""
        for batch in RowsFromCopies("documents", self.urls).batches(store, wanted):
            sought = _wanted_rows(batch, wanted)
            if sought.num_rows:
                yield fingerprint_rows(sought, self.ngram)


@dataclass(frozen=True, slots=True)
class RowsFromSurvivors:
    """Rows of `clean` from `documents`, the ledger and the cuts."""

    parts: tuple[Part, ...]
    ledger: tuple[LedgerFile, ...]
    cuts: tuple[LedgerFile, ...]
    name: str = "documents and clusters"

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The survivors."""
        only = None if wanted is None else wanted.known_ids
        yield from cut_survivors(self.parts, self.ledger, self.cuts, store, TokenResult(), only)


@dataclass(frozen=True, slots=True)
class RowsFromEncoding:
    """Rows of `tokens` from texts, with the tokenizer that wrote the table."""

    texts: RowsFromCopies | RowsFromSurvivors
    spec: TokenizerSpec

    @property
    def name(self) -> str:
        """What a report calls it."""
        return "clean" if isinstance(self.texts, RowsFromCopies) else self.texts.name

    def batches(self, store: Store, wanted: MissingRows | None) -> Iterator[pa.RecordBatch]:
        """The tokens of the texts that are sought."""
        from strata.pipelines.tokenizer_engine import Engine
        from strata.pipelines.tokenizer_reference import check_equal

        engine = Engine.open(self.spec)
        for batch in self.texts.batches(store, wanted):
            sought = _wanted_rows(batch, wanted)
            if sought.num_rows:
                check_equal(engine, engine.spec, sought.column("text").slice(0, 1))
                yield token_rows(engine, sought)


def _wanted_rows(batch: pa.RecordBatch, wanted: MissingRows | None) -> pa.RecordBatch:
    if wanted is None:
        return batch
    return batch.filter(pa.array(wanted.contains(np.asarray(batch.column("doc_id")))))
