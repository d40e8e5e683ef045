"""Deleting at once what still holds retracted documents: older snapshots, and stored reports.

Reports of earlier runs quote the first line of some documents.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from strata.pipelines.execution.details import PurgeResult
from strata.pipelines.execution.stage import StageContext, reports_folder
from strata.pipelines.tables.doc_set import DocumentSet
from strata.storage.cleanup.expiry import expire
from strata.storage.cleanup.garbage import collect_garbage, find_orphans
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import STAGING
from strata.storage.writing.tiers import tiers_of

__all__ = ["blank_samples", "purge"]

# Staging folders are also used by runs on other corpora, which must not be disturbed.
STAGING_GRACE = timedelta(hours=24)
# The clocks of the publishing hosts may differ by this much.
ANY_AGE = timedelta(days=1)
# How a report quotes a document: an object with its number and a sample of its text.
NUMBER, SAMPLE = "doc_id", "sample"


def purge(context: StageContext) -> PurgeResult:
    """Forget all superseded snapshots of a corpus, and delete every file that no snapshot needs.

    There is no grace period: a reader of an older snapshot fails, and so does a stage that was
    running when it tries to publish. Snapshots that a tag or branch names stay, with their files.

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
    # The store of the run leaves alone what others staged, however old it is.
    garbage = collect_garbage(context.corpus.store, orphans)
    return PurgeResult(len(retracted), garbage.files, garbage.n_bytes)


def blank_samples(context: StageContext, retracted: DocumentSet) -> int:
    """Remove the text that stored reports quote from some documents.

    Document ids are those of the present build of the corpus.

    Returns:
        The number of reports that were rewritten.
    """
    changed = 0
    for info in context.store.find(reports_folder(context.settings)):
        if info.url.suffix == ".json":
            changed += _blank_file(context, info.url, retracted)
    return changed


def _blank_file(context: StageContext, url: Url, retracted: DocumentSet) -> bool:
    try:
        report = msgspec.json.decode(context.store.read_bytes(url))
    except msgspec.DecodeError:
        # Half a file of another program is no report.
        return False
    if not _blank(report, retracted):
        return False
    context.store.write_bytes(url, msgspec.json.format(msgspec.json.encode(report), indent=2))
    return True


def _blank(value: object, retracted: DocumentSet) -> bool:
    if isinstance(value, list):
        return sum(_blank(each, retracted) for each in value) > 0
    if not isinstance(value, dict):
        return False
    # A sum and not any(): every sample has to be visited.
    found = sum(_blank(each, retracted) for each in value.values()) > 0
    number = value.get(NUMBER)
    if isinstance(number, int) and value.get(SAMPLE) and retracted.contains(np.array([number]))[0]:
        value[SAMPLE] = ""
        return True
    return found
