"""Floors above storage know tables as `CorpusTable` and plain records, not as Iceberg does."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ABOVE = ("pipelines", "jobs")
# What returns Iceberg's objects, and what only they have.
OF_ICEBERG = frozenset(
    {
        *("existing", "iceberg", "iceberg_for", "iceberg_tables"),
        *("current_snapshot", "current_snapshot_id", "snapshot_by_id", "snapshot_by_name"),
        *("manage_snapshots", "metadata_location", "metadata_log", "additional_properties"),
    }
)
# Names of the counts in the summary of a snapshot; `TableSnapshot.totals` has them.
SUMMARY_KEYS = ("total-records", "data-files", "files-size", "-records")
HIDDEN = ("pyiceberg", "strata.storage.iceberg")


def leaks(source):
    """What a module has of Iceberg: imports, attributes, keys of a snapshot's summary."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if f"{each.name}.".startswith(dotted()))
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each.name}." for each in node.names]
            yield from (name[:-1] for name in names if name.startswith(dotted()))
        elif isinstance(node, ast.Attribute) and node.attr in OF_ICEBERG:
            yield f".{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (node.value for key in SUMMARY_KEYS if node.value.endswith(key))


def dotted():
    return tuple(f"{name}." for name in HIDDEN)


@pytest.mark.parametrize("floor", ABOVE)
def test_floors_above_storage_know_nothing_of_iceberg(floor):
    found = [
        f"{file.relative_to(ROOT)}: {leak}"
        for file in sorted((ROOT / floor).rglob("*.py"))
        for leak in leaks(file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "leak"),
    [
        ("import pyiceberg.table", "pyiceberg.table"),
        ("from pyiceberg.table import Table", "pyiceberg.table.Table"),
        (
            "def f():\n    from strata.storage.iceberg import snapshots",
            "strata.storage.iceberg.snapshots",
        ),
        ("table.existing().refs()", ".existing"),
        ("head = found.metadata.current_snapshot_id", ".current_snapshot_id"),
        ("int(summary['added-files-size'])", "added-files-size"),
    ],
)
def test_leaks_are_seen(source, leak):
    assert list(leaks(source)) == [leak]
