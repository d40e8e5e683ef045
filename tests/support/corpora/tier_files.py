"""What lies in a tier, but for the small files that say whose it is."""

from __future__ import annotations

from strata.storage.contracts.store import FileInfo, Store
from strata.storage.contracts.url import Url
from strata.storage.tables.places import IDENTITY_FILE

__all__ = ["files_in"]


def files_in(store: Store, tier: Url) -> list[FileInfo]:
    """All files below a tier, sorted by URL."""
    return [info for info in store.find(tier) if info.url.name != IDENTITY_FILE]
