"""Packing the row groups of `documents` into tasks of about equal size."""

from __future__ import annotations

from collections.abc import Sequence

from strata.pipelines.execution.data_files import DataFile, RowGroups
from strata.pipelines.execution.stage import StageContext
from strata.storage.layout.records import TableFile
from strata.storage.writing.parquet import ParquetLayout
from strata.storage.writing.tiers import tier_of_table

__all__ = ["deal_parts", "pack_parts", "token_parts"]

# Row groups are dealt out so that each core gets about this many tasks.
TASKS_PER_CORE = 2


def token_parts(context: StageContext, files: Sequence[TableFile]) -> list[tuple[RowGroups, ...]]:
    """The row groups of files of `documents`, packed into tasks of about equal size, in order."""
    return deal_parts(context, files, tier_of_table(context.settings, "tokens").layout)


def deal_parts(
    context: StageContext, files: Sequence[TableFile], layout: ParquetLayout
) -> list[tuple[RowGroups, ...]]:
    """Pack the row groups of files into tasks: one or more per core, each at most a target file."""
    files = sorted(files, key=lambda file: file.min_doc_id)
    cores = context.spark().sparkContext.defaultParallelism if files else 1
    target = layout.target_file_bytes
    total = sum(file.n_bytes for file in files)
    number = max(TASKS_PER_CORE * cores, -(-total // target))
    share = max(1, -(-total // number))
    return pack_parts(files, share)


def pack_parts(files: Sequence[TableFile], share: int) -> list[tuple[RowGroups, ...]]:
    """Cut files into runs of row groups of about ``share`` bytes on disk each."""
    tasks: list[list[RowGroups]] = []
    room = 0
    for file in files:
        weight = file.n_bytes / max(file.row_groups, 1)
        for group in range(file.row_groups):
            if room < weight / 2:
                tasks.append([])
                room += share
            _extend(tasks[-1], file, group)
            room -= int(weight)
    return [tuple(task) for task in tasks if task]


def _extend(task: list[RowGroups], file: TableFile, group: int) -> None:
    groups = task.pop().groups if task and task[-1].file.url == file.url else ()
    task.append(RowGroups(DataFile.of(file), (*groups, group)))
