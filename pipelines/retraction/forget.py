"""Deleting at once what older snapshots hold of retracted documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from strata.pipelines.stage import StageContext
from strata.storage.maintenance import STAGING, collect_garbage, expire, find_orphans
from strata.storage.tiers import tiers_of
from strata.storage.url import Url

__all__ = ["PurgeResult", "purge"]

# Staged files are also those of runs on other corpora, which go on.
STAGING_GRACE = timedelta(hours=24)
# The clocks of the hosts that published differ.
ANY_AGE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What was forgotten and deleted."""

    snapshots: int
    files: int
    n_bytes: int


def purge(context: StageContext) -> PurgeResult:
    """Forget all superseded snapshots of a corpus, and delete every file that no snapshot needs.

    No grace is given: a reader of an older snapshot fails, and so does the publish of a stage that
    was at work. Snapshots that a tag or branch names stay, with their files.

    Raises:
        ConflictError: another writer changed a table meanwhile.
        TransientError: the catalog or a store did not answer.
    """
    corpus, now = context.corpus, datetime.now(UTC)
    retracted = [
        snapshot
        for name in corpus.existing_tables()
        for snapshot in expire(corpus.table(name), now + ANY_AGE)
    ]
    tiers = tiers_of(context.settings).values()
    staging = Url.parse(context.settings.warehouse) / STAGING
    limit = (now - STAGING_GRACE).timestamp() * 1e9
    orphans = [
        file
        for file in find_orphans(corpus, tiers, timedelta(0))
        if not file.url.is_below(staging) or (file.modified_ns or now.timestamp() * 1e9) < limit
    ]
    garbage = collect_garbage(context.store, orphans)
    return PurgeResult(len(retracted), garbage.files, garbage.n_bytes)
