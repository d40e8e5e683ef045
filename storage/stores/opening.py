"""Opening the store of a corpus."""

from __future__ import annotations

from strata.storage.cache.store import CachedStore
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.transfer.store import TransferStore

__all__ = ["open_store"]


def open_store(options: StorageOptions | None = None) -> Store:
    """The store that ``options`` describe, local files and memory without any.

    The cache, if there is one, is asked first; then the transfer layer, whose every attempt is a
    call of the filesystem.
    """
    options = options or StorageOptions()
    store = TransferStore(FsspecStore(options), options.transfer)
    if options.cache is None:
        return store
    return CachedStore(store, options.cache, options.transfer)
