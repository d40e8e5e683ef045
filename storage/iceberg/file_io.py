"""PyIceberg's file access, through the one store: any scheme, options by URL prefix."""

from __future__ import annotations

from typing import cast

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store

__all__ = ["FILE_IO_CLASS", "STORAGE_OPTIONS", "StoreFileIO", "io_properties"]

FILE_IO_CLASS = "strata.storage.iceberg.file_io.StoreFileIO"
STORAGE_OPTIONS = "strata.storage-options"
"""Catalog property: the storage options as JSON. It is never written into table metadata."""


def io_properties(options: StorageOptions) -> dict[str, str]:
    """Catalog properties with which PyIceberg reads and writes through the store."""
    return {"py-io-impl": FILE_IO_CLASS, STORAGE_OPTIONS: options.to_json()}


class StoreFile(InputFile, OutputFile):
    """One file of a store, in both roles that PyIceberg knows."""

    def __init__(self, store: Store, location: str) -> None:
        super().__init__(location)
        self._store = store
        self._url = Url.parse(location)

    def __len__(self) -> int:
        return self._store.info(self._url).size

    def exists(self) -> bool:
        """Whether the file is there."""
        return self._store.exists(self._url)

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002 (PyIceberg's signature)
        """Open for reading; always seekable."""
        return cast("InputStream", self._store.open_input(self._url))

    def create(self, overwrite: bool = False) -> OutputStream:
        """Open for writing.

        Raises:
            FileExistsError: the file is there and ``overwrite`` is off.
        """
        if not overwrite and self.exists():
            raise FileExistsError(f"{self._url} exists already")
        return cast("OutputStream", self._store.create(self._url))

    def to_input_file(self) -> InputFile:
        """The same file for reading."""
        return self


class StoreFileIO(FileIO):
    """FileIO over the store; its options come from ``STORAGE_OPTIONS``."""

    def new_input(self, location: str) -> StoreFile:
        """A file to read."""
        return StoreFile(self._store, location)

    def new_output(self, location: str) -> StoreFile:
        """A file to write."""
        return StoreFile(self._store, location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file."""
        text = location if isinstance(location, str) else location.location
        self._store.delete(Url.parse(text))

    @property
    def _store(self) -> Store:
        return open_store(StorageOptions.from_json(self.properties.get(STORAGE_OPTIONS, "")))
