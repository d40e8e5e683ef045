"""A rewrite whose new files are read back: they hold the rows of the old ones, or are deleted."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from strata.errors import BalanceError, StrataError
from strata.pipelines.rewrite import RewriteResult, RewriteTask, run_rewrite_task
from strata.storage.integrity.checksums import RowsChecksum, checksum_of
from strata.storage.scan import open_parquet, rows_per_batch
from strata.storage.schemas import SCHEMAS
from strata.storage.store import Store, open_store
from strata.storage.url import Url

__all__ = ["run_verified_rewrite"]

_BATCH_BYTES = 8_000_000


def run_verified_rewrite(task: RewriteTask) -> RewriteResult:
    """Rewrite files and compare the sums of their decoded rows, before and after.

    Raises:
        BalanceError: other rows came out; nothing of the rewrite is left.
        InputError: an old file cannot be read.
    """
    result, store = run_rewrite_task(task), open_store(task.storage)
    try:
        _compare(task, "read back", _read_back(task, result, store), _written(result))
        stored = _stored(task, store)
        if stored is not None:
            _compare(task, "written", _written(result), stored)
    except BaseException:
        for file in result.files:
            # What cannot be deleted now is left to `strata storage gc`; the first error matters.
            with suppress(StrataError):
                store.delete(Url.parse(file.url))
        raise
    return result


def _written(result: RewriteResult) -> RowsChecksum:
    return _sum(checksum_of(file.metadata) or RowsChecksum() for file in result.files)


def _stored(task: RewriteTask, store: Store) -> RowsChecksum | None:
    """What the old files say of their rows; None where one of them says nothing."""
    found = []
    for source in task.sources:
        with open_parquet(store, Url.parse(source.url)) as scan:
            found.append(checksum_of(scan.metadata))
    known = [each for each in found if each is not None]
    return _sum(known) if len(known) == len(found) else None


def _read_back(task: RewriteTask, result: RewriteResult, store: Store) -> RowsChecksum:
    names, total = SCHEMAS[task.table].names, RowsChecksum()
    for file in result.files:
        with open_parquet(store, Url.parse(file.url)) as scan:
            for group in range(scan.metadata.num_row_groups):
                rows = rows_per_batch(scan.metadata.row_group(group), names, _BATCH_BYTES)
                for batch in scan.batches(group, names, rows):
                    total += RowsChecksum.of(batch)
    return total


def _sum(sums: Iterable[RowsChecksum]) -> RowsChecksum:
    total = RowsChecksum()
    for each in sums:
        total += each
    return total


def _compare(task: RewriteTask, verb: str, found: RowsChecksum, expected: RowsChecksum) -> None:
    if found != expected:
        columns = ", ".join(found.differs_in(expected)) or "their number"
        raise BalanceError(
            f"rewriting {len(task.sources)} file(s) of {task.table} from {task.sources[0].url}: "
            f"other rows were {verb} than are there ({columns})",
            hint="run `strata storage verify`; nothing was replaced",
        )
