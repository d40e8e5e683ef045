"""Corpora to retract from, and the same corpora without some documents."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from strata.pipelines.execution.stage import StageContext, StageReport
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize
from tests.support.rows import Row, exported, rows_of

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


def contents(context: StageContext) -> dict[str, list[Row]]:
    """What the tables hold of documents."""
    tables = ("documents", "fingerprints", "edges", "clusters", "clean", "tokens")
    return {table: rows_of(context, table) for table in tables}


def survivors(context: StageContext) -> set[str]:
    """Ids of the documents that an export has."""
    return {row["id"] for row in exported(context, "documents")}
