"""Moving and copying the folders of a corpus as users do, on any store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from strata.settings import Settings
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.contracts.store import Output, Store
from strata.storage.contracts.url import Url
from strata.storage.relocation.destinations import Destinations, Kind
from strata.storage.relocation.ownership import Handover, hand_over, plan_handover
from strata.storage.relocation.relocate import Relocation, plan_relocation
from strata.storage.relocation.vouched import Vouched
from strata.storage.tables.catalog import Corpus, look_at
from strata.storage.tables.claim import open_to_write
from strata.storage.writing.tiers import tiers_of
from tests.support.corpora.tiered import ids_by_ref

CATALOG = "catalog.db"


def placed(settings: Settings, folder: Url, catalog: Path, **more: Any) -> Settings:
    """The settings with warehouse and tiers below a folder, and another catalog."""
    update = {
        "warehouse": str(folder / "wh"),
        "catalog": {"uri": f"sqlite:///{catalog}?timeout=60"},
        "tiers": {name: {"url": str(folder / name)} for name in ("hot", "cold")},
    }
    return Settings.model_validate(settings.model_dump() | update | more)


def copy_folder(store: Store, old: Url, new: Url) -> None:
    """Copy all files below a folder."""
    for info in store.find(old):
        place = new / str(info.url).removeprefix(f"{old}/")
        store.write_bytes(place, store.read_bytes(info.url))


def move_folder(store: Store, old: Url, new: Url) -> None:
    """Move all files below a folder."""
    copy_folder(store, old, new)
    drop_folder(store, old)


def drop_folder(store: Store, folder: Url) -> None:
    """Delete all files below a folder."""
    for info in store.find(folder):
        store.delete(info.url)


def copy_catalog(old: Path, new: Path) -> Path:
    """Copy the database of a catalog."""
    new.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(old, new))


def listing(store: Store, folder: Url) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, with its content."""
    return {str(each.url): (each.size, store.read_bytes(each.url)) for each in store.find(folder)}


def destinations_of(settings: Settings, kind: Kind = Kind.MOVE) -> Destinations:
    """Where the settings say that files are."""
    tiers = tuple(tier.url for tier in tiers_of(settings).values())
    return Destinations(settings.corpus, Url.parse(settings.warehouse), tiers, {}, kind)


class Killed(BaseException):
    """As if the process were killed."""


class KilledStore:
    """A store whose process is killed before one of its writes."""

    def __init__(self, store: Store, writes: int) -> None:
        self._store = store
        self._left = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, url: Url) -> Output:
        """Open a file for writing."""
        self._count()
        return self._store.create(url)

    def write_bytes(self, url: Url, data: bytes) -> None:
        """Replace the content of a file."""
        self._count()
        self._store.write_bytes(url, data)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed


def relocate(
    settings: Settings,
    kind: Kind = Kind.MOVE,
    *vouched: Vouched,
    given: Mapping[Url, Url] = MappingProxyType({}),
    writes: int | None = None,
) -> tuple[Relocation, Handover]:
    """What the command does; it is killed after some writes unless that is None."""
    with closing(look_at(settings)) as look:
        corpus = look.corpus()
        if writes is not None:
            corpus.store = KilledStore(corpus.store, writes)  # type: ignore[assignment]
        asked = replace(destinations_of(settings, kind), given=given)
        relocation = plan_relocation(corpus, asked)
        handover = plan_handover(corpus, relocation, look.findings, vouched)
        if relocation.tables or handover.changes:
            hand_over(corpus, relocation, handover)
        return relocation, handover


def collect(settings: Settings) -> int:
    """Collect the garbage of a corpus, however young; the number of files."""
    with open_to_write(settings) as corpus:
        orphans = find_orphans(corpus, tiers_of(settings).values(), timedelta(0))
        return collect_garbage(corpus.store, orphans).files


def state_of(corpus: Corpus) -> dict[str, Any]:
    """What must be the same before and after: snapshots, tags, and the rows of each."""
    table = corpus.table("clusters")
    return {
        "snapshots": table.snapshots(),
        "refs": table.refs(),
        "rows": ids_by_ref(corpus),
        "properties": table.properties,
        "files": [
            (file.location.name, file.rows, file.n_bytes, file.min_doc_id, file.max_doc_id)
            for file in table.files()
        ],
    }


def urls_of(corpus: Corpus) -> list[str]:
    """Every location that the metadata of a corpus's tables has, in any snapshot."""
    found: list[str] = []
    for table in corpus.iceberg_tables():
        metadata = table.metadata
        found += [table.metadata_location, table.location()]
        found += [each.metadata_file for each in metadata.metadata_log]
        for snapshot in metadata.snapshots:
            found.append(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                found.append(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io, discard_deleted=False)
                found += [entry.data_file.file_path for entry in entries]
    return found
