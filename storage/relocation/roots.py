"""Roots: the folders of warehouses and tiers, below which a corpus has its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from strata.storage.contracts.url import Url

__all__ = ["Roots", "root_of"]


def root_of(location: str, corpus: str, table: str) -> Url | None:
    """The root below which a file of a table lies; None where it lies as Strata puts none."""
    url = Url.parse(location)
    head, mark, _ = url.rest.rpartition(f"/{corpus}/{table}/")
    if not mark:
        return None
    return Url(url.scheme, head or ("/" if url.scheme == "file" else ""))


@dataclass(frozen=True, slots=True)
class Roots:
    """Which root takes the place of which; the innermost that holds a location counts."""

    moved: Mapping[Url, Url] = field(default_factory=dict)

    def move(self, location: str) -> str:
        """The new place of a location; the same text where no root has moved that holds it."""
        url = Url.parse(location)
        old = self._innermost(url)
        new = self.moved[old] if old else None
        if old is None or new is None or old == new:
            return location
        if url == old:
            return str(new)
        below = url.rest.removeprefix(old.rest.rstrip("/")).lstrip("/")
        parts = (part for part in (new.rest.rstrip("/"), below) if part or new.scheme == "file")
        return str(Url(new.scheme, "/".join(parts)))

    def _innermost(self, url: Url) -> Url | None:
        around: Iterable[Url] = (old for old in self.moved if url == old or url.is_below(old))
        return max(around, key=lambda old: len(old.rest), default=None)
