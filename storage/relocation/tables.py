"""What the tables of a corpus refer to: every metadata file, every data file, in every snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from strata.errors import InputMissingError
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.iceberg.moved_metadata import (
    ListedManifest,
    ManifestedFile,
    read_manifest,
    read_manifest_list,
    read_metadata,
    snapshot_lists,
)
from strata.storage.relocation.roots import Roots

__all__ = ["MetadataFile", "RecordedTable", "in_parallel", "read_table", "statistics_of"]

_IN_FLIGHT = 16
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A metadata file: where the catalog or a later one says that it is, and its content."""

    location: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedTable:
    """A table, with every location as its files spell it.

    Attributes:
        name: its name.
        present: the metadata file that the catalog names.
        history: earlier ones that its log names, as far as they still exist, oldest first.
        lists: the manifests of each manifest list.
        manifests: the files of each manifest.
    """

    name: str
    present: MetadataFile
    history: tuple[MetadataFile, ...]
    lists: dict[str, tuple[ListedManifest, ...]] = field(default_factory=dict)
    manifests: dict[str, tuple[ManifestedFile, ...]] = field(default_factory=dict)

    @property
    def metadata_files(self) -> tuple[MetadataFile, ...]:
        """All metadata files, the present one last."""
        return (*self.history, self.present)

    def live_files(self) -> dict[str, ManifestedFile]:
        """The data files that any retained snapshot has, by location."""
        return {
            file.location: file
            for files in self.manifests.values()
            for file in files
            if file.is_live
        }


def read_table(store: Store, name: str, pointer: str, roots: Roots) -> RecordedTable:
    """Read all metadata of a table where its roots have moved to.

    Args:
        store: where the files are.
        name: name of the table.
        pointer: its present metadata file, as the catalog has it.
        roots: where what is named now lies.

    Raises:
        InputError: a file is damaged.
        InputMissingError: a file that a retained snapshot needs is not there.
        ConflictError: a table has files that cannot be relocated.
    """
    present = MetadataFile(pointer, read_metadata(store, _place(pointer, roots)))
    logged = [each["metadata-file"] for each in present.content.get("metadata-log") or ()]
    history = in_parallel(partial(_if_there, store, roots), logged)
    found = RecordedTable(name, present, tuple(each for each in history if each is not None))
    lists = list(dict.fromkeys(snapshot_lists(present.content)))
    read_lists = in_parallel(lambda at: tuple(read_manifest_list(store, _place(at, roots))), lists)
    found.lists.update(zip(lists, read_lists, strict=True))
    manifests = list(dict.fromkeys(each.location for some in found.lists.values() for each in some))
    files = in_parallel(lambda at: tuple(read_manifest(store, _place(at, roots))), manifests)
    found.manifests.update(zip(manifests, files, strict=True))
    return found


def statistics_of(content: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Location and size of each file of statistics that a metadata file names."""
    for kind in ("statistics", "partition-statistics"):
        for each in content.get(kind) or ():
            yield each["statistics-path"], each["file-size-in-bytes"]


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results in the order of the items; metadata files are small, so what counts is waiting."""
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        return list(pool.map(function, items))


def _place(location: str, roots: Roots) -> Url:
    return Url.parse(roots.move(location))


def _if_there(store: Store, roots: Roots, location: str) -> MetadataFile | None:
    try:
        return MetadataFile(location, read_metadata(store, _place(location, roots)))
    except InputMissingError:
        return None
