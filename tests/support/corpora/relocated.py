"""Moving and copying the folders of a corpus as users do, on any store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from strata.settings import Settings
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.relocation.destinations import Destinations
from strata.storage.tables.catalog import Corpus
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


def destinations_of(settings: Settings, *, is_copy: bool = False, **given: Url) -> Destinations:
    """Where the settings say that files are."""
    tiers = tuple(tier.url for tier in tiers_of(settings).values())
    return Destinations(settings.corpus, Url.parse(settings.warehouse), tiers, given, is_copy)  # type: ignore[arg-type]


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
