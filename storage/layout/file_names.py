"""Names of data files: they record codec, level, and since when the rows are in the corpus.

Manifests store the names, so all of this is known without opening a file, and survives a move.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

__all__ = [
    "STAGING",
    "NamedFacts",
    "facts_of_name",
    "file_name",
    "newest_created_ms",
    "order_of_name",
    "ordered_stem",
]

STAGING = "_staging"
"""Folder of the warehouse with one folder per attempt, for files that no table ever refers to."""
_NAME = re.compile(r"(?P<uuid>[0-9a-f]{32})\.(?P<codec>[a-z0-9]+)(?:-(?P<level>\d+))?\.parquet")
_ORDERED = re.compile(r"-by_(?P<order>[a-z_]+)-")
_TIME_SHIFT = 80
_LAYOUT_BITS = (1 << _TIME_SHIFT) - 1
_TIME_ORDERED = 7


@dataclass(frozen=True, slots=True)
class NamedFacts:
    """What a name records; nothing for a file that another writer named.

    Attributes:
        codec: Parquet codec.
        level: compression level, where the codec has one.
        created_ms: when its newest row came into the corpus, milliseconds since 1970, UTC.
    """

    codec: str = ""
    level: int | None = None
    created_ms: int | None = None


def file_name(stem: str, tag: str, created_ms: int | None = None) -> str:
    """A unique file name.

    Args:
        stem: first part, such as run and task.
        tag: codec and level, as in ``zstd-3``.
        created_ms: since when the rows have been in the corpus; now unless given.
    """
    return f"{stem}-{_uuid7(created_ms).hex}.{tag}.parquet"


def facts_of_name(name: str) -> NamedFacts:
    """The facts that :func:`file_name` put into a name."""
    found = _NAME.search(name)
    if found is None:
        return NamedFacts()
    uuid = UUID(found["uuid"])
    born = uuid.int >> _TIME_SHIFT if uuid.version == _TIME_ORDERED else None
    return NamedFacts(found["codec"], int(found["level"]) if found["level"] else None, born)


def ordered_stem(stem: str, order: str) -> str:
    """The first part of a name, with the order of the rows where that is not ``doc_id``."""
    return stem if order == "doc_id" else f"{stem}-by_{order}"


def order_of_name(name: str) -> str:
    """The order of the rows that a name records: ``doc_id`` unless it has another."""
    found = _ORDERED.search(name)
    return found["order"] if found else "doc_id"


def newest_created_ms(urls: Iterable[str]) -> int | None:
    """When the newest row of these files came into the corpus; None if a name lacks the time."""
    born = [facts_of_name(url.rpartition("/")[2]).created_ms for url in urls]
    known = [each for each in born if each is not None]
    return max(known) if known and len(known) == len(born) else None


def _uuid7(at_ms: int | None) -> UUID:
    """RFC 9562, section 5.7: 48 bits of milliseconds, then random ones."""
    now = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    random = uuid4().int & _LAYOUT_BITS & ~(0xF << 76)
    return UUID(int=(now << _TIME_SHIFT) | (_TIME_ORDERED << 76) | random)
