"""Which documents an earlier result covers already, so that a later one reads only the rest.

The snapshot of a result over `documents` says how far it reached. It stays valid as long as
`documents` was only appended to since: new input files get higher ordinals, so new documents have
higher ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from strata.storage.layout.properties import (
    DOCUMENT_COUNT,
    DOCUMENTS_KEY,
    LAST_DOC_ID,
    SETTINGS_KEY,
)
from strata.storage.layout.records import TableFile
from strata.storage.tables.table import TableReader

__all__ = [
    "EMPTY_WATERMARK",
    "Watermark",
    "current_watermark",
    "watermark_of",
    "watermark_properties",
    "watermark_properties_without",
]


@dataclass(frozen=True, slots=True)
class Watermark:
    """A state of `documents`.

    Attributes:
        documents: their number.
        last_doc_id: the largest of their ids; -1 where there is none.
    """

    documents: int
    last_doc_id: int


EMPTY_WATERMARK = Watermark(0, -1)


def watermark_of(documents: TableReader, table: TableReader, settings_key: str) -> Watermark:
    """How much of the documents a table's result covers.

    Args:
        documents: the table `documents`.
        table: the table with the earlier result.
        settings_key: key of everything but the documents that decides the result.

    Returns:
        EMPTY_WATERMARK where the result was made with other settings or from other documents.
    """
    found = {
        name: table.latest_property(name)
        for name in (SETTINGS_KEY, DOCUMENTS_KEY, LAST_DOC_ID, DOCUMENT_COUNT)
    }
    documents_key = found[DOCUMENTS_KEY]
    if found[SETTINGS_KEY] != settings_key or documents_key is None:
        return EMPTY_WATERMARK
    if not documents.carries(documents_key):
        return EMPTY_WATERMARK
    return Watermark(int(found[DOCUMENT_COUNT] or 0), int(found[LAST_DOC_ID] or -1))


def current_watermark(files: Iterable[TableFile]) -> Watermark:
    """The watermark of the state of `documents` that consists of these files."""
    listed = list(files)
    return Watermark(
        sum(file.rows for file in listed), max((file.max_doc_id for file in listed), default=-1)
    )


def watermark_properties_without(
    table: TableReader, documents_key: str, documents: int
) -> Mapping[str, str]:
    """The watermark properties of a result once n documents are removed from it and `documents`.

    Args:
        table: the table with the result.
        documents_key: key of `documents` without them.
        documents: how many are removed.
    """
    before = int(table.latest_property(DOCUMENT_COUNT) or 0)
    return {DOCUMENTS_KEY: documents_key, DOCUMENT_COUNT: str(before - documents)}


def watermark_properties(
    state: Watermark, *, documents_key: str, settings_key: str
) -> Mapping[str, str]:
    """The properties of a snapshot whose result covers a state of `documents`."""
    return {
        SETTINGS_KEY: settings_key,
        DOCUMENTS_KEY: documents_key,
        LAST_DOC_ID: str(state.last_doc_id),
        DOCUMENT_COUNT: str(state.documents),
    }
