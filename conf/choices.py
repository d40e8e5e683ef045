"""The choices that command lines offer, apart from the settings models, which import slowly."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = ["PARTITIONABLE", "RowOrder"]


class RowOrder(StrEnum):
    """How rows are ordered inside a file."""

    DOC_ID = "doc_id"
    SOURCE = "source"
    URL = "url"
    CLUSTER = "cluster"


_DOCUMENT_COLUMNS = ("source", "lang", "id", "url", "doc_id", "n_bytes", "created")
PARTITIONABLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "documents": _DOCUMENT_COLUMNS,
        "clean": _DOCUMENT_COLUMNS,
        "tokens": ("source", "doc_id", "n_tokens"),
    }
)
"""Tables that can be partitioned, and the columns that they can be partitioned by."""
