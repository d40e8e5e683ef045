"""What several actions print alike, and read alike from their flags."""

from __future__ import annotations

import argparse
import math
from datetime import UTC, datetime, timedelta

from strata.errors import SettingsError
from strata.storage.records import TableSnapshot

__all__ = ["age_of", "hours_of", "iso", "snapshot_row"]


def snapshot_row(table: str, snapshot: TableSnapshot) -> dict[str, object]:
    """A snapshot as a row of facts."""
    return {
        "table": table,
        # As text: JSON readers that know doubles only would change it.
        "snapshot": str(snapshot.snapshot_id),
        "time": iso(snapshot.timestamp_ms / 1e3),
        "operation": snapshot.operation,
        "rows": int(snapshot.properties.get("total-records", 0)),
        "files": int(snapshot.properties.get("total-data-files", 0)),
        "run": snapshot.run_id,
        "content_key": snapshot.content_key,
    }


def iso(seconds: float) -> str:
    """Seconds since 1970 as a time of UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def age_of(arguments: argparse.Namespace) -> timedelta:
    """The age that ``--older-than`` names.

    Raises:
        SettingsError: it is no number of hours.
    """
    return hours_of("--older-than", arguments.older_than)


def hours_of(flag: str, value: float) -> timedelta:
    """The time that a flag names in hours.

    Raises:
        SettingsError: it is no number of hours.
    """
    if not (math.isfinite(value) and 0 <= value <= 1e6):
        raise SettingsError(f"{flag} {value} is no number of hours", hint="give a number from 0 on")
    return timedelta(hours=value)
