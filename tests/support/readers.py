"""Input files that a test writes, and what the readers make of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.read import read_split
from strata.pipelines.readers.records import COLUMNS
from strata.pipelines.readers.rejects import BrokenFile, Reject
from strata.pipelines.readers.split import InputFile, ReadLimits, Split, plan_splits
from strata.settings import InputSettings
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url

LIMITS = ReadLimits(1_000_000)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the readers made of some splits."""

    documents: list[dict[str, Any]]
    rejects: list[Reject]
    records: int

    @property
    def texts(self) -> list[str]:
        """The texts of the documents."""
        return [document["text"] for document in self.documents]

    @property
    def metadata(self) -> list[Any]:
        """The metadata of the documents, parsed."""
        return [each["metadata"] and json.loads(each["metadata"]) for each in self.documents]

    @property
    def refused(self) -> list[tuple[int, str]]:
        """Position and reason of the rejects."""
        return [(reject.position, str(reject.reason)) for reject in self.rejects]


@dataclass(frozen=True, slots=True)
class Reader:
    """Input files that a test writes, and what is read from them."""

    store: Store
    folder: Url

    def put(self, name: str, data: bytes) -> Url:
        """Write an input file."""
        url = self.folder / name
        self.store.write_bytes(url, data)
        return url

    def file(self, name: str, data: bytes, ordinal: int = 0, **section: Any) -> InputFile:
        """Write an input file and list it, with the settings of its section."""
        inputs = InputSettings(path=str(self.put(name, data)), **section)
        (found,) = list_inputs(self.store, [inputs]).files
        return found.numbered(ordinal)

    def read_splits(
        self, splits: Iterable[Split], limits: ReadLimits = LIMITS, store: Store | None = None
    ) -> Reading:
        """Read splits, one after the other."""
        reading = Reading([], [], 0)
        for split in splits:
            for batch in read_split(store or self.store, split, limits):
                assert batch.records == batch.documents.num_rows + len(batch.rejects)
                assert batch.documents.schema == COLUMNS
                batch.documents.validate(full=True)
                reading.documents.extend(batch.documents.to_pylist())
                reading.rejects.extend(batch.rejects)
                reading = replace(reading, records=reading.records + batch.records)
        return reading

    def read(self, name: str, data: bytes, limits: ReadLimits = LIMITS, **section: Any) -> Reading:
        """Write an input file, and read it as one split."""
        return self.read_file(self.file(name, data, **section), limits)

    def read_file(self, file: InputFile, limits: ReadLimits = LIMITS) -> Reading:
        """Read a file as one split."""
        return self.read_splits(self.splits(file), limits)

    def splits(self, file: InputFile, split_bytes: int = 1 << 40) -> list[Split]:
        """The splits of a file."""
        return plan_splits([file], self.store, split_bytes)

    def broken(self, name: str, data: bytes, **section: Any) -> Reject:
        """Write a file whose container is broken, and read it: the reject of the file."""
        return self.broken_splits(self.splits(self.file(name, data, **section)))

    def broken_splits(self, splits: Iterable[Split]) -> Reject:
        """Read splits of a file that is broken: the reject of the file."""
        with pytest.raises(BrokenFile) as caught:
            self.read_splits(splits)
        return caught.value.reject
