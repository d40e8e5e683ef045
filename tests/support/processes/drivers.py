"""What a driver process of the catalog tests does.

It runs as ``python -m tests.support.processes.drivers ROLE SETTINGS …``.
"""

from __future__ import annotations

import sys
from itertools import count

import pyarrow as pa

from strata.settings import Settings
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.claim import open_to_write
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.parquet import ParquetLayout, TableWriter, WrittenFile
from strata.storage.writing.tiers import tiers_of
from tests.support.rows import ids_in_files

TABLE = "clusters"
LAYOUT = ParquetLayout("zstd", 1, row_group_bytes=1_000_000, target_file_bytes=1_000_000)
ROW = {"cluster_size": 1, "kept": True, "method": "exact", "similarity": 1.0}


def write(corpus: Corpus, settings: Settings, tier: str, ids: list[int]) -> list[WrittenFile]:
    """Write a file of rows with these ids to a tier."""
    folder = tiers_of(settings)[tier].folder(settings.corpus, TABLE)
    rows = [{"doc_id": number, "kept_id": number} | ROW for number in ids]
    with TableWriter(corpus.store, folder, TABLE, LAYOUT, "t") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[TABLE]))
    return writer.close()


def ids_of(corpus: Corpus) -> list[int]:
    """The ids that the table holds, in order."""
    return ids_in_files(corpus.store, (file.location for file in corpus.table(TABLE).files()))


def ingest(settings: Settings, first: int, commits: int) -> None:
    """Append two rows a commit, with ids from ``first`` on."""
    with open_to_write(settings) as corpus:
        for start in range(first, first + 2 * commits, 2):
            files = write(corpus, settings, "hot", [start, start + 1])
            publish(
                corpus.table(TABLE),
                files,
                mode=PublishMode.APPEND,
                content_key=str(start),
                run_id=f"ingest-{first}",
            )


def move(settings: Settings, total: int) -> None:
    """Move what is in the hot tier to the cold one, until ``total`` rows are there."""
    cold = tiers_of(settings)["cold"].url
    with open_to_write(settings) as corpus:
        table = corpus.table(TABLE)
        for _ in count():
            files = table.files()
            hot = [file for file in files if not file.location.is_below(cold)][:3]
            if not hot and sum(file.rows for file in files) >= total:
                return
            for file in hot:
                (batch,) = read_batches(corpus.store, file.location, ["doc_id"], None, 1_000)
                new = write(corpus, settings, "cold", batch["doc_id"].to_pylist())
                replace_files(table, [Replacement((file.url,), tuple(new))], run_id="move")


def main(role: str, settings: str, *numbers: str) -> None:
    """Do what the role says."""
    {"ingest": ingest, "move": move}[role](
        Settings.model_validate_json(settings), *map(int, numbers)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
