"""The stored reports of a corpus, which quote the first line of some documents."""

from __future__ import annotations

import msgspec
import numpy as np

from strata.pipelines.retraction.gone import DocumentSet
from strata.pipelines.stage import StageContext, reports_folder
from strata.storage.url import Url

__all__ = ["blank_samples"]

# How a report quotes a document: an object with its number and a sample of its text.
NUMBER, SAMPLE = "doc_id", "sample"


def blank_samples(context: StageContext, retracted: DocumentSet) -> int:
    """Take what is quoted of some documents out of all stored reports.

    Numbers of documents are those of the present build of the corpus.

    Returns:
        The number of reports that were written again.
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
    # A sum, as every one has to be gone through.
    found = sum(_blank(each, retracted) for each in value.values()) > 0
    number = value.get(NUMBER)
    if isinstance(number, int) and value.get(SAMPLE) and retracted.contains(np.array([number]))[0]:
        value[SAMPLE] = ""
        return True
    return found
