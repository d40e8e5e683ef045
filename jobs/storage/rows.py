"""Rows that several actions print in the same form."""

from __future__ import annotations

from datetime import UTC, datetime

from strata.storage.layout.records import TableSnapshot

__all__ = ["iso", "snapshot_row"]


def snapshot_row(table: str, snapshot: TableSnapshot) -> dict[str, object]:
    """A snapshot as a row of facts."""
    return {
        "table": table,
        # As text: JSON readers that have only doubles would change it.
        "snapshot": str(snapshot.snapshot_id),
        "time": iso(snapshot.timestamp_ms / 1e3),
        "operation": snapshot.operation,
        "rows": snapshot.totals.rows,
        "files": snapshot.totals.files,
        "run": snapshot.run_id,
        "content_key": snapshot.content_key,
    }


def iso(seconds: float) -> str:
    """Seconds since 1970 as a UTC time in ISO format."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
