"""From a split to batches of documents and rejects, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Protocol, cast

from strata.pipelines.readers.decompress import DamagedStream
from strata.pipelines.readers.formats import FORMATS
from strata.pipelines.readers.records import ReadBatch, reject
from strata.pipelines.readers.rejects import BrokenFile
from strata.pipelines.readers.split import ReadLimits, Split
from strata.settings import InputFormat
from strata.storage.contracts.store import Store

__all__ = ["Reader", "read_split", "reader_of"]


class Reader(Protocol):
    """What reads the splits of one format."""

    def read_split(self, store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
        """Read a split; for each batch ``records = documents + rejects``.

        Raises:
            BrokenFile: the container is damaged.
            DamagedStream: the compressed stream is damaged.
        """


def reader_of(name: InputFormat) -> Reader:
    """The reader of a format, imported when it is first needed."""
    return cast(Reader, import_module(f"strata.pipelines.readers.{FORMATS[name].module}"))


def read_split(store: Store, split: Split, limits: ReadLimits) -> Iterator[ReadBatch]:
    """Read a split; for each batch ``records = documents + rejects``.

    Raises:
        BrokenFile: the container is damaged; the documents read so far must not be kept.
    """
    try:
        yield from reader_of(split.file.format).read_split(store, split, limits)
    except DamagedStream as damage:
        record = reject(split.file, damage.position, damage.reason, str(damage))
        raise BrokenFile(record) from damage
