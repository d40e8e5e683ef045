"""File lineage: which files replaced which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from strata.storage.contracts.url import Url
from strata.storage.writing.parquet import WrittenFile

__all__ = ["FileLineage"]


@dataclass(frozen=True, slots=True)
class FileLineage:
    """Files with the rows of others, by name; ``new`` replaced ``old``."""

    old: tuple[str, ...]
    new: tuple[str, ...]

    @classmethod
    def of(cls, old: Iterable[str], new: Iterable[WrittenFile]) -> FileLineage:
        """From the URLs of the old files, and the new files."""
        names = (tuple(Url.parse(url).name for url in urls) for urls in (old, (f.url for f in new)))
        return cls(*names)
