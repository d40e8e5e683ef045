"""The input manifest: which files a corpus has read, under which ordinal, with what result.

The ordinal in a document id names its input file, and so its source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from strata.pipelines.tables.state import Tables
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.layout.records import TableFile
from strata.storage.reading.scan import read_batches

__all__ = ["KnownInput", "SourceIndex", "read_input_manifest", "read_inputs", "read_sources"]

BATCH_BYTES = 8_000_000
# Sources that are counted separately; a matrix of all pairs stays below a megabyte.
MAX_SOURCES = 254


def read_input_manifest(tables: Tables, store: Store) -> list[KnownInput]:
    """The inputs that a corpus has read, in ordinal order."""
    return read_inputs(tables.table("inputs").files(), store)


def read_inputs(files: Iterable[TableFile], store: Store) -> list[KnownInput]:
    """The inputs in files of the table `inputs`, in ordinal order."""
    columns = ["uri", "ordinal", "size", "identity", "cause"]
    known = [
        KnownInput(**row)
        for file in files
        for batch in read_batches(store, file.location, columns, None, BATCH_BYTES)
        for row in batch.to_pylist()
    ]
    return sorted(known, key=lambda entry: entry.ordinal)


@dataclass(frozen=True, slots=True)
class KnownInput:
    """A row of the input manifest, as far as planning needs it."""

    uri: str
    ordinal: int
    size: int
    identity: str
    cause: str


@dataclass(frozen=True, slots=True)
class SourceIndex:
    """The sources of a corpus, by the ordinals of its inputs.

    Attributes:
        names: the sources with the most documents, in that order.
        of_ordinal: int16[n], index into ``names`` by ordinal; ``other`` for all further sources.
    """

    names: tuple[str, ...]
    of_ordinal: np.ndarray

    @property
    def other(self) -> int:
        """The index that stands for all sources not in ``names``."""
        return len(self.names)

    @property
    def reference(self) -> int:
        """The index that stands for documents of reference corpora, whose ids are negative."""
        return len(self.names) + 1

    @property
    def places(self) -> int:
        """Number of indices: the named sources, ``other`` and ``reference``."""
        return len(self.names) + 2

    def of(self, doc_ids: np.ndarray) -> np.ndarray:
        """Index of the source of each document: int64[n] -> int16[n]."""
        ordinals = doc_ids >> POSITION_BITS
        places = np.full(len(doc_ids), self.other, np.int16)
        places[ordinals < 0] = self.reference
        known = (ordinals >= 0) & (ordinals < len(self.of_ordinal))
        places[known] = self.of_ordinal[ordinals[known]]
        return places


def read_sources(tables: Tables, store: Store, max_sources: int = MAX_SOURCES) -> SourceIndex:
    """The sources that the table `inputs` names, at most so many of them told apart."""
    documents: Counter[str] = Counter()
    by_ordinal: dict[int, str] = {}
    columns = ["ordinal", "source", "rows"]
    for file in tables.table("inputs").files():
        for batch in read_batches(store, Url.parse(file.url), columns, None, BATCH_BYTES):
            for row in batch.to_pylist():
                documents[row["source"]] += row["rows"]
                by_ordinal[row["ordinal"]] = row["source"]
    ordered = sorted(documents, key=lambda name: (-documents[name], name))[:max_sources]
    place = {name: number for number, name in enumerate(ordered)}
    of_ordinal = np.full(max(by_ordinal, default=-1) + 1, len(ordered), np.int16)
    for ordinal, name in by_ordinal.items():
        of_ordinal[ordinal] = place.get(name, len(ordered))
    return SourceIndex(tuple(ordered), of_ordinal)
