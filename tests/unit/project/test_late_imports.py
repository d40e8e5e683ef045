"""Imports inside functions: each is listed with a reason that holds; all others stand at the top.

None of them may hide a circle: `test_rooms.py` counts imports inside functions like all others.
"""

import ast
from enum import Enum
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLOORS = ("conf", "storage", "pipelines", "jobs")


class Reason(Enum):
    """Why an import waits, and the packages of which it loads one at least."""

    # The driver starts without the libraries of the catalog, and asks it while the JVM starts.
    CATALOG = frozenset({"pyiceberg", "sqlalchemy"})
    # Only workers compute: the driver loads neither compiled kernels nor engines.
    WORKER = frozenset({"gigatoken", "numba", "scipy", "tokenizers"})
    # Commands that need no JVM do not wait for its client.
    SPARK = frozenset({"pyspark"})
    # `--help` and wrong flags answer before settings are read, wrong settings before tables load.
    COMMAND = frozenset({"msgspec", "pyarrow", "pydantic"})
    # Libraries of one scheme, one kind of tokenizer or one syntax: installed or needed by few.
    OPTIONAL = frozenset(
        {
            *("awkward", "duckdb", "fsspec", "polars", "pyparsing", "requests", "s3fs", "tiktoken"),
            "zstandard",
            "fsspec.implementations.webhdfs",
        }
    )
    # Ctrl-C ends the command in order from its first moment on.
    SIGNALS = frozenset({"argparse"})
    # What is missing in an installation is reported by the doctor instead of stopping it.
    PROBE = frozenset({"strata.storage.tables.catalog"})


LATE: dict[str, dict[str, Reason]] = {
    "strata.jobs.cli": {
        "strata.jobs.command.entry": Reason.COMMAND,
        "strata.jobs.doctor.doctor": Reason.COMMAND,
        "strata.jobs.explain_document": Reason.COMMAND,
        "strata.jobs.export_table": Reason.COMMAND,
        "strata.jobs.planning.dry_run": Reason.COMMAND,
        "strata.jobs.retract_documents": Reason.COMMAND,
        "strata.jobs.runner.launch": Reason.COMMAND,
        "strata.jobs.show_report": Reason.COMMAND,
        "strata.jobs.tune_dedup": Reason.COMMAND,
        "strata.layers": Reason.COMMAND,
    },
    "strata.jobs.command.arguments": {
        "strata.pipelines.retraction.request": Reason.COMMAND,
        "strata.pipelines.tables.retractions": Reason.COMMAND,
    },
    "strata.jobs.command.entry": {
        "strata.jobs.planning.dry_run": Reason.COMMAND,
        "strata.jobs.report.summary": Reason.COMMAND,
        "strata.jobs.runner.run": Reason.COMMAND,
    },
    "strata.jobs.console": {
        "strata.jobs.cli": Reason.SIGNALS,
    },
    "strata.jobs.corpus": {
        "duckdb": Reason.OPTIONAL,
        "polars": Reason.OPTIONAL,
        "pyarrow": Reason.COMMAND,
        "strata.jobs.explain_document": Reason.COMMAND,
        "strata.jobs.planning.dry_run": Reason.COMMAND,
        "strata.jobs.report.files": Reason.COMMAND,
        "strata.jobs.runner.read_log": Reason.COMMAND,
        "strata.storage.layout.schemas": Reason.COMMAND,
        "strata.storage.reading.conditions": Reason.CATALOG,
        "strata.storage.reading.read_plan": Reason.COMMAND,
        "strata.storage.stores.opening": Reason.OPTIONAL,
        "strata.storage.tables.catalog": Reason.COMMAND,
    },
    "strata.jobs.datasource.options": {
        "strata.storage.tables.catalog": Reason.COMMAND,
    },
    "strata.jobs.datasource.source": {
        "strata.storage.reading.conditions": Reason.CATALOG,
    },
    "strata.jobs.doctor.doctor": {
        "strata.jobs.doctor.places": Reason.COMMAND,
    },
    "strata.jobs.doctor.places": {
        "strata.storage.tables.catalog": Reason.PROBE,
    },
    "strata.jobs.manage_storage": {
        "strata.jobs.move_files": Reason.COMMAND,
        "strata.jobs.rewrite_tables": Reason.COMMAND,
        "strata.storage.tables.catalog": Reason.COMMAND,
        "strata.storage.tables.claim": Reason.COMMAND,
    },
    "strata.jobs.move_files": {
        "strata.jobs.planning.moves": Reason.COMMAND,
        "strata.pipelines.maintenance.move": Reason.COMMAND,
        "strata.storage.tables.catalog": Reason.COMMAND,
    },
    "strata.jobs.rewrite_tables": {
        "strata.jobs.planning.rewrites": Reason.COMMAND,
        "strata.pipelines.maintenance.rewrite": Reason.COMMAND,
        "strata.storage.tables.catalog": Reason.COMMAND,
    },
    "strata.jobs.runner.launch": {
        "strata.jobs.runner.run": Reason.COMMAND,
    },
    "strata.jobs.session.forwarding": {
        "pyspark.java_gateway": Reason.SPARK,
    },
    "strata.jobs.session.spark": {
        "pyspark.sql": Reason.SPARK,
    },
    "strata.jobs.session.worker_daemon": {
        "pyspark.daemon": Reason.SPARK,
    },
    "strata.jobs.setup.class_data": {
        "pyspark": Reason.SPARK,
    },
    "strata.jobs.setup.quickstart": {
        "pyarrow": Reason.COMMAND,
        "pyarrow.parquet": Reason.COMMAND,
        "zstandard": Reason.OPTIONAL,
    },
    "strata.pipelines.decontamination.items": {
        "strata.pipelines.kernels.containment": Reason.WORKER,
        "strata.pipelines.kernels.minhash": Reason.WORKER,
        "strata.pipelines.kernels.shingle_sets": Reason.WORKER,
    },
    "strata.pipelines.decontamination.search": {
        "strata.pipelines.kernels.containment": Reason.WORKER,
        "strata.pipelines.kernels.word_offsets": Reason.WORKER,
    },
    "strata.pipelines.dedup.edges": {
        "pyspark.sql": Reason.SPARK,
    },
    "strata.pipelines.dedup.election": {
        "pyspark.sql": Reason.SPARK,
    },
    "strata.pipelines.dedup.exact_jaccard": {
        "strata.pipelines.kernels.shingle_sets": Reason.WORKER,
    },
    "strata.pipelines.dedup.spark_components": {
        "pyspark.sql": Reason.SPARK,
    },
    "strata.pipelines.dedup.spark_ledger": {
        "pyspark.sql": Reason.SPARK,
    },
    "strata.pipelines.dedup.verify_texts": {
        "pyspark.sql": Reason.SPARK,
    },
    "strata.pipelines.evaluation.neighbours": {
        "strata.pipelines.kernels.signature_index": Reason.WORKER,
    },
    "strata.pipelines.evaluation.tune": {
        "strata.pipelines.kernels.star_links": Reason.WORKER,
    },
    "strata.pipelines.evaluation.tune_sample": {
        "strata.pipelines.kernels.signature_index": Reason.WORKER,
    },
    "strata.pipelines.execution.cached_frames": {
        "pyspark": Reason.SPARK,
    },
    "strata.pipelines.execution.tasks": {
        "pyspark": Reason.SPARK,
    },
    "strata.pipelines.export.formats": {
        "msgspec": Reason.COMMAND,
        "pyarrow": Reason.COMMAND,
        "pyarrow.parquet": Reason.COMMAND,
    },
    "strata.pipelines.ingest.blocklist": {
        "strata.pipelines.kernels.content_hash": Reason.WORKER,
    },
    "strata.pipelines.ingest.task": {
        "strata.pipelines.kernels.content_hash": Reason.WORKER,
        "strata.pipelines.kernels.minhash": Reason.WORKER,
    },
    "strata.pipelines.kernels.buckets": {
        "strata.pipelines.kernels.bucket_scan": Reason.WORKER,
    },
    "strata.pipelines.kernels.components": {
        "scipy.sparse": Reason.WORKER,
        "scipy.sparse.csgraph": Reason.WORKER,
    },
    "strata.pipelines.kernels.hubs": {
        "strata.pipelines.kernels.bucket_scan": Reason.WORKER,
    },
    "strata.pipelines.passages.collectors": {
        "strata.pipelines.kernels.run_merging": Reason.WORKER,
    },
    "strata.pipelines.passages.rows": {
        "strata.pipelines.kernels.passages": Reason.WORKER,
        "strata.pipelines.kernels.substrings": Reason.WORKER,
    },
    "strata.pipelines.readers.records": {
        "strata.pipelines.readers.dates": Reason.WORKER,
    },
    "strata.pipelines.repair.sources": {
        "strata.pipelines.tokenization.engine": Reason.WORKER,
    },
    "strata.pipelines.retraction.match": {
        "strata.pipelines.kernels.content_hash": Reason.WORKER,
    },
    "strata.pipelines.tables.cuts": {
        "strata.pipelines.kernels.content_hash": Reason.WORKER,
        "strata.pipelines.kernels.cutting": Reason.WORKER,
    },
    "strata.pipelines.tokenization.encoders": {
        "awkward": Reason.OPTIONAL,
        "awkward.contents": Reason.OPTIONAL,
        "awkward.index": Reason.OPTIONAL,
        "gigatoken": Reason.WORKER,
    },
    "strata.pipelines.tokenization.formats": {
        "tiktoken": Reason.OPTIONAL,
        "tokenizers": Reason.WORKER,
    },
    "strata.pipelines.tokenization.task": {
        "strata.pipelines.tokenization.engine": Reason.WORKER,
    },
    "strata.pipelines.tokenization.training": {
        "strata.pipelines.tokenization.long_pieces": Reason.WORKER,
        "tokenizers": Reason.WORKER,
    },
    "strata.storage.checksums.rows": {
        "strata.storage.checksums.kernels": Reason.WORKER,
    },
    "strata.storage.cleanup.expiry": {
        "pyiceberg.exceptions": Reason.CATALOG,
        "strata.storage.iceberg.table_commit": Reason.CATALOG,
    },
    "strata.storage.contracts.url": {
        "fsspec": Reason.OPTIONAL,
    },
    "strata.storage.iceberg.catalog_errors": {
        "pyiceberg.exceptions": Reason.CATALOG,
        "sqlalchemy.exc": Reason.CATALOG,
    },
    "strata.storage.layout.partitioning": {
        "strata.storage.layout.murmur": Reason.WORKER,
    },
    "strata.storage.lifecycle.move_cleanup": {
        "strata.storage.iceberg.commits": Reason.CATALOG,
        "strata.storage.iceberg.table_commit": Reason.CATALOG,
    },
    "strata.storage.reading.conditions": {
        "pyiceberg.expressions.parser": Reason.CATALOG,
        "pyparsing": Reason.OPTIONAL,
    },
    "strata.storage.stores.filesystems": {
        "strata.storage.stores.s3": Reason.OPTIONAL,
        "strata.storage.stores.webhdfs_filesystem": Reason.OPTIONAL,
    },
    "strata.storage.stores.fsspec_store": {
        "strata.storage.stores.s3": Reason.OPTIONAL,
    },
    "strata.storage.stores.webhdfs": {
        "requests": Reason.OPTIONAL,
    },
    "strata.storage.tables.catalog": {
        "pyiceberg.catalog": Reason.CATALOG,
        "pyiceberg.exceptions": Reason.CATALOG,
        "sqlalchemy": Reason.CATALOG,
        "sqlalchemy.exc": Reason.CATALOG,
        "strata.storage.iceberg.file_io": Reason.CATALOG,
        "strata.storage.iceberg.pointers": Reason.CATALOG,
    },
    "strata.storage.tables.catalog_entry": {
        "pyiceberg.exceptions": Reason.CATALOG,
        "sqlalchemy.exc": Reason.CATALOG,
    },
    "strata.storage.tables.edit": {
        "strata.storage.iceberg.commits": Reason.CATALOG,
        "strata.storage.iceberg.snapshots": Reason.CATALOG,
        "strata.storage.iceberg.table_commit": Reason.CATALOG,
    },
    "strata.storage.tables.held_files": {
        "pyiceberg.conversions": Reason.CATALOG,
        "pyiceberg.types": Reason.CATALOG,
        "strata.storage.iceberg.table_records": Reason.CATALOG,
    },
    "strata.storage.tables.publish": {
        "pyiceberg.exceptions": Reason.CATALOG,
        "sqlalchemy.exc": Reason.CATALOG,
        "strata.storage.iceberg.commits": Reason.CATALOG,
        "strata.storage.iceberg.table_commit": Reason.CATALOG,
    },
    "strata.storage.tables.rebuild": {
        "pyiceberg.exceptions": Reason.CATALOG,
        "pyiceberg.table": Reason.CATALOG,
        "strata.storage.iceberg.file_io": Reason.CATALOG,
    },
    "strata.storage.tables.referenced_files": {
        "pyiceberg.table": Reason.CATALOG,
    },
    "strata.storage.tables.replace": {
        "strata.storage.iceberg.commits": Reason.CATALOG,
        "strata.storage.iceberg.snapshots": Reason.CATALOG,
        "strata.storage.iceberg.table_commit": Reason.CATALOG,
    },
    "strata.storage.tables.table": {
        "pyiceberg.exceptions": Reason.CATALOG,
        "pyiceberg.io.pyarrow": Reason.CATALOG,
        "strata.storage.iceberg.partition_evolution": Reason.CATALOG,
        "strata.storage.iceberg.partition_specs": Reason.CATALOG,
        "strata.storage.iceberg.table_records": Reason.CATALOG,
    },
}


def module_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    names = parts[1:] if parts[0] == "conf" else parts
    return ".".join(["strata", *(name for name in names if name != "__init__")])


MODULES = {
    module_of(file): file for floor in FLOORS for file in sorted((ROOT / floor).rglob("*.py"))
}


def names_of(node):
    """Modules that a statement imports, in full."""
    if isinstance(node, ast.Import):
        return {each.name for each in node.names}
    full = {each.name: f"{node.module}.{each.name}" for each in node.names}
    return {name if name in MODULES else node.module for name in full.values()}


def imports_in(node, *, within_function=False):
    """Pairs of an imported module and whether it is imported within a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from ((name, within_function) for name in names_of(child))
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_in(child, within_function=within_function or is_function)


@cache
def imports_of(module):
    return frozenset(imports_in(ast.parse(MODULES[module].read_text())))


def late_imports(module):
    """Modules that are imported within its functions."""
    return {name for name, is_late in imports_of(module) if is_late}


def loaded_by(name):
    """What an import loads: modules of the package, and of other ones those that these name."""
    found, waiting = set(), [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            if each in MODULES:
                waiting += [name for name, is_late in imports_of(each) if not is_late]
    return found


def belongs_to(name, packages):
    return f"{name}.".startswith(tuple(f"{package}." for package in packages))


def test_late_imports_are_listed_and_the_list_has_no_other():
    found = {module: late for module in MODULES if (late := late_imports(module))}
    assert found == {module: set(listed) for module, listed in LATE.items()}


@pytest.mark.parametrize("module", sorted(LATE))
def test_late_imports_reasons_hold(module):
    there = {
        each for name, is_late in imports_of(module) if not is_late for each in loaded_by(name)
    }
    for name, reason in LATE[module].items():
        spared = {each for each in loaded_by(name) - there if belongs_to(each, reason.value)}
        assert spared, f"{name}: {reason.name}"


@pytest.mark.parametrize("module", sorted(LATE))
def test_late_imports_are_not_at_the_top_too(module):
    at_top = {name for name, is_late in imports_of(module) if not is_late}
    assert at_top & set(LATE[module]) == set()
