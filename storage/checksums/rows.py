"""A checksum of rows that depends neither on their order nor on how they are stored.

Every value is hashed together with the name and type of its column, the values of a row are added
and mixed, and the rows are added modulo 2^64 (incremental multiset hashing; Clarke et al.,
Incremental Multiset Hash Functions, 2003, section 5, without a secret: against damage, not against
forgery). So the checksums of files add up to that of their table, whatever the order of rows, the
split into files and row groups, and the codec. A sum for each column shows where the damage is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from strata.storage.checksums.values import ByteValues, NumberValues, Values, column_seed, values_of

__all__ = ["CHECKSUM_KEY", "RowsChecksum", "checksum_of"]

CHECKSUM_KEY = "strata.rows-checksum"
"""Key of the footer's metadata."""

_VERSION = 1
_MASK = (1 << 64) - 1
# This few rows take less time than importing the kernels; a driver often writes no more.
_FEW_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class RowsChecksum:
    """The checksum of a multiset of rows; those of two sets add up with ``+``.

    Attributes:
        rows: their number.
        total: the sum over rows, each as a whole, modulo 2^64.
        columns: the sum over the values of each column, modulo 2^64; empty without rows.
    """

    rows: int = 0
    total: int = 0
    columns: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __add__(self, other: RowsChecksum) -> RowsChecksum:
        names = dict.fromkeys([*self.columns, *other.columns])
        columns = {
            name: (self.columns.get(name, 0) + other.columns.get(name, 0)) & _MASK for name in names
        }
        return RowsChecksum(
            self.rows + other.rows,
            (self.total + other.total) & _MASK,
            MappingProxyType(columns),
        )

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy cannot be pickled.
        return RowsChecksum.from_text, (self.to_text(),)

    @classmethod
    def of(cls, rows: pa.RecordBatch | pa.Table) -> RowsChecksum:
        """The checksum of some rows.

        Raises:
            TypeError: a column has values of a type that no table of Strata has.
        """
        batches = rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        kernels = _FEW if rows.num_rows <= _FEW_ROWS else _MANY
        return sum((_checksum(batch, kernels) for batch in batches), cls())

    def differs_in(self, other: RowsChecksum) -> tuple[str, ...]:
        """Columns whose values differ; none where values only moved between rows."""
        names = dict.fromkeys([*self.columns, *other.columns])
        return tuple(name for name in names if self.columns.get(name) != other.columns.get(name))

    def to_text(self) -> str:
        """JSON with the version of the algorithm."""
        return json.dumps(
            {
                "version": _VERSION,
                "rows": self.rows,
                "total": f"{self.total:016x}",
                "columns": {name: f"{value:016x}" for name, value in self.columns.items()},
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_text(cls, text: str) -> RowsChecksum:
        """The checksum in what :meth:`to_text` returned.

        Raises:
            ValueError: the text is something else, or of another version.
        """
        facts = json.loads(text)
        if not isinstance(facts, dict) or facts.get("version") != _VERSION:
            raise ValueError(f"no checksum of version {_VERSION}: {text[:100]}")
        columns = {str(name): int(value, 16) for name, value in facts["columns"].items()}
        return cls(int(facts["rows"]), int(facts["total"], 16), MappingProxyType(columns))


def checksum_of(metadata: pq.FileMetaData) -> RowsChecksum | None:
    """The checksum that a footer holds; None for files of other writers and versions."""
    text = (metadata.metadata or {}).get(CHECKSUM_KEY.encode())
    try:
        return None if text is None else RowsChecksum.from_text(text.decode())
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class _Kernels:
    """Hash the values of a column into the rows, and sum the rows."""

    add: Callable[[Values, int, NDArray[np.uint64]], int]
    finish: Callable[[NDArray[np.uint64]], int]


def _checksum(batch: pa.RecordBatch, kernels: _Kernels) -> RowsChecksum:
    if not batch.num_rows:
        return RowsChecksum()
    hashes = np.zeros(batch.num_rows, np.uint64)
    columns = {}
    for column, array in zip(batch.schema, batch.columns, strict=True):
        seed = column_seed(column.name, column.type)
        columns[column.name] = kernels.add(values_of(column.name, array), seed, hashes)
    return RowsChecksum(batch.num_rows, kernels.finish(hashes), MappingProxyType(columns))


def _add_many(values: Values, seed: int, hashes: NDArray[np.uint64]) -> int:
    from strata.storage.checksums.kernels import add_bytes, add_numbers

    if isinstance(values, NumberValues):
        return int(add_numbers(values.numbers, values.valid, np.uint64(seed), hashes))
    return int(add_bytes(values.data, values.offsets, values.valid, np.uint64(seed), hashes))


def _sum_many(hashes: NDArray[np.uint64]) -> int:
    from strata.storage.checksums.kernels import sum_rows

    return int(sum_rows(hashes))


def _add_few(values: Values, seed: int, hashes: NDArray[np.uint64]) -> int:
    if isinstance(values, NumberValues):
        found = _mix(values.numbers.view(np.uint64) ^ np.uint64(seed))
    else:
        found = _hash_bytes(values, seed)
    if len(values.valid):
        found[values.valid == 0] = _mix(_mix(np.array([seed], np.uint64)))[0]
    hashes += found
    return int(found.sum(dtype=np.uint64))


def _sum_few(hashes: NDArray[np.uint64]) -> int:
    return int(_mix(hashes).sum(dtype=np.uint64))


def _hash_bytes(values: ByteValues, seed: int) -> NDArray[np.uint64]:
    data, places = values.data.data, values.offsets.tolist()
    return np.array(
        [xxhash.xxh64_intdigest(data[start:stop], seed) for start, stop in pairwise(places)],
        np.uint64,
    )


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`strata.storage.checksums.hashing.mix` without the kernels."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


_FEW = _Kernels(_add_few, _sum_few)
_MANY = _Kernels(_add_many, _sum_many)
