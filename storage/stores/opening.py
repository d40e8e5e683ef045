"""Opening the store of a corpus."""

from __future__ import annotations

from strata.storage.cache.store import CachedStore
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.stores.fsspec_store import FsspecStore
from strata.storage.stores.own_staging import OwnStagingStore
from strata.storage.transfer.store import TransferStore

__all__ = ["open_store"]


def open_store(options: StorageOptions | None = None) -> Store:
    """The store that ``options`` describe; without any, for local files and memory.

    The cache, if there is one, is on top; below it is the transfer layer, each of whose attempts
    is one call of the filesystem. The store of a run refuses what other attempts staged.
    """
    options = options or StorageOptions()
    store: Store = TransferStore(FsspecStore(options), options.transfer)
    if options.cache is not None:
        store = CachedStore(store, options.cache, options.transfer)
    return store if options.staging is None else OwnStagingStore(store, options.staging)
