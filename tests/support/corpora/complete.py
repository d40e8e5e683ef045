"""Corpora to retract from, and the same corpora without some documents."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from strata.pipelines.execution.stage import StageContext, StageReport
from strata.pipelines.export.rows import export_batches
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches

Record = Mapping[str, Any]


def write_records(
    folder: Path, files: Mapping[str, Sequence[Record]], without: Collection[str] = ()
) -> None:
    """Write JSON lines; a record that is left out becomes one without a text, of the same length.

    So all others keep their places, and with them their numbers.
    """
    for name, records in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        lines = [_line(record, blank=str(record.get("id")) in without) for record in records]
        (folder / name).write_bytes(b"".join(lines))


def _line(record: Record, *, blank: bool) -> bytes:
    whole = json.dumps(record, ensure_ascii=False).encode()
    kept = json.dumps({"text": ""}).encode().ljust(len(whole)) if blank else whole
    return kept + b"\n"


def run_all(context: StageContext) -> list[StageReport]:
    """All stages."""
    return [stage(context) for stage in (run_shard, run_dedup, run_tokenize, run_compress)]


def rows_of(context: StageContext, table: str) -> list[dict[str, Any]]:
    """The rows of a table as it lies in its files, in the order of its first column."""
    columns = SCHEMAS[table].names
    found = [
        row
        for file in context.corpus.table(table).files()
        for batch in read_batches(context.store, file.location, columns, None, 10**6)
        for row in batch.to_pylist()
    ]
    return sorted(found, key=lambda row: tuple(row[name] for name in columns[:2]))


def contents(context: StageContext) -> dict[str, list[dict[str, Any]]]:
    """What the tables hold of documents."""
    tables = ("documents", "fingerprints", "edges", "clusters", "clean", "tokens")
    return {table: rows_of(context, table) for table in tables}


def survivors(context: StageContext) -> set[str]:
    """Ids of the documents that an export has."""
    batches = export_batches(context.corpus, context.store, "documents")
    return {row["id"] for batch in batches for row in batch.to_pylist()}
