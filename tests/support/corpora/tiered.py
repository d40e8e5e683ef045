"""A small corpus with tiers, for tests of moves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa

from strata.pipelines.execution.stage import StageReport
from strata.pipelines.maintenance.move import run_move
from strata.settings import Settings
from strata.storage.contracts.url import Url
from strata.storage.iceberg.catalog_errors import retry_lost_races
from strata.storage.layout.records import TableFile
from strata.storage.layout.schemas import CLUSTERS
from strata.storage.lifecycle.accesses import DAY_MS
from strata.storage.lifecycle.journal import MoveJournal, moves_folder
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.held_files import files_by_ref
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import ParquetLayout, TableWriter
from strata.storage.writing.tiers import tiers_of
from tests.support.rows import ids_in_files
from tests.support.sequential import sequential_context

GRACE = timedelta(hours=24)
NO_GRACE = timedelta(0)
OLD_GO_COLD = ({"older_than_days": 30, "to": "cold"},)
LAYOUT = ParquetLayout("zstd", 3, row_group_bytes=1_000_000, target_file_bytes=1_000_000)


def tiered(folder: str, rules: Sequence[Mapping[str, Any]] = OLD_GO_COLD, **cold: Any) -> Settings:
    """Settings with the tiers hot and cold below a folder."""
    return Settings.model_validate(
        {
            "corpus": "web",
            "warehouse": f"{folder}/warehouse",
            "inputs": [{"path": "nothing"}],
            "tiers": {
                "hot": {"url": f"{folder}/hot", "level": 3},
                "cold": {"url": f"{folder}/cold", "level": 9} | cold,
            },
            "tables": {"clusters": "hot"},
            "lifecycle": list(rules),
        }
    )


def put(
    corpus: Corpus, settings: Settings, ids: Sequence[int], days: float = 40, tier: str = "hot"
) -> TableFile:
    """Append documents to the table `clusters`, as one file that was born so many days ago."""
    table = corpus.table("clusters")
    born = time.time_ns() // 1_000_000 - round(days * DAY_MS)
    rows = [
        {
            "doc_id": i,
            "kept_id": i,
            "cluster_size": 1,
            "kept": True,
            "method": "exact",
            "similarity": 1.0,
        }
        for i in ids
    ]
    folder = tiers_of(settings)[tier].folder("web", "clusters")
    with TableWriter(corpus.store, folder, "clusters", LAYOUT, "t", born) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=CLUSTERS))
    (file,) = writer.close()
    mode = PublishMode.APPEND
    publish(table, [file], mode=mode, content_key=f"key-{ids[0]}", run_id="r")
    return next(each for each in table.files() if each.url == file.url)


def tag(corpus: Corpus, name: str) -> None:
    """Tag the present state of `clusters`."""

    def create() -> None:
        iceberg = corpus.table("clusters").iceberg()
        head = iceberg.current_snapshot().snapshot_id
        iceberg.manage_snapshots().create_tag(head, name).commit()

    retry_lost_races(create)


def ids_of(corpus: Corpus, ref: str = "main") -> list[int]:
    """The documents of a tag, or of the table, as they are read from its files."""
    return ids_by_ref(corpus)[ref]


def ids_by_ref(corpus: Corpus) -> dict[str, list[int]]:
    """The documents of the table, and of each tag and branch."""
    found = files_by_ref(corpus.table("clusters").iceberg())
    return {name: ids_in_files(corpus.store, map(Url.parse, urls)) for name, urls in found.items()}


def tiers_used(corpus: Corpus) -> list[str]:
    """Name of the folder of the tier of each file of `clusters`."""
    return sorted(str(file.url).split("/web/")[0].rpartition("/")[2] for file in files(corpus))


def journal_of(corpus: Corpus) -> MoveJournal:
    """The journal of moves."""
    return MoveJournal(corpus.store, moves_folder(corpus.warehouse, "web"))


def files(corpus: Corpus) -> list[TableFile]:
    """The files of `clusters`."""
    return corpus.table("clusters").files()


def move(settings: Settings, grace: timedelta = GRACE, run_id: str = "move") -> StageReport:
    """Run the move, its tasks one after the other."""
    return run_move(sequential_context(settings, run_id), grace)
