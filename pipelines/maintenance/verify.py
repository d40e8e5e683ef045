"""Verifying files on a cluster, whose workers read them in parallel."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.storage.contracts.options import StorageOptions
from strata.storage.integrity.verify import (
    FileCheck,
    Verification,
    VerifyLevel,
    verify_file,
)
from strata.storage.stores.opening import open_store
from strata.storage.tables.held_files import HeldFile, corpus_files

__all__ = ["VerifyTask", "run_verify_task", "verify_on_cluster"]

# Starting a task takes about as long as reading its files; several tasks per core even out.
TASKS_PER_CORE = 8


@dataclass(frozen=True, slots=True)
class VerifyTask:
    """Files that one task checks."""

    files: tuple[HeldFile, ...]
    level: VerifyLevel
    storage: StorageOptions


def run_verify_task(task: VerifyTask) -> list[FileCheck]:
    """Check the files one after the other."""
    store = open_store(task.storage)
    return [verify_file(store, each, task.level) for each in task.files]


def verify_on_cluster(
    context: StageContext, level: VerifyLevel, tables: Collection[str] | None = None
) -> Verification:
    """Check every data file that the tables, their tags or branches refer to, in tasks of Spark.

    Args:
        context: the corpus.
        level: how thoroughly.
        tables: names of the tables; all by default.

    Raises:
        MachineError: reading a file is not permitted.
        TransientError: a store did not answer.
    """
    files = corpus_files(context.corpus, tables)
    spark = context.spark()
    count = min(len(files), TASKS_PER_CORE * spark.sparkContext.defaultParallelism)
    # The largest first, dealt out in turn, so that tasks have about equal sizes.
    ordered = sorted(files, key=lambda each: each.file.n_bytes, reverse=True)
    tasks = [
        VerifyTask(tuple(ordered[start::count]), level, context.storage_options)
        for start in range(count)
    ]
    context.progress.start("verify", "read every file", len(tasks))
    results = run_tasks(spark, run_verify_task, tasks)
    context.progress.finish()
    checks = {check.file.url: check for some in results for check in some}
    outcome = Verification(level)
    for each in files:
        outcome.add(checks[each.file.url])
    return outcome
