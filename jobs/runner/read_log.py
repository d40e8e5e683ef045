"""Reads of commands that run no stage, noted in the access log."""

from __future__ import annotations

import sys

from strata.errors import StrataError
from strata.storage.lifecycle.accesses import log_reads
from strata.storage.tables.catalog import Corpus
from strata.storage.transfer.metering import IoMeter

__all__ = ["log_driver_reads"]


def log_driver_reads(corpus: Corpus, run_id: str, meter: IoMeter) -> None:
    """Append what was read; a failure is reported on stderr and does not affect the result."""
    try:
        log_reads(corpus, run_id, meter.files)
    except StrataError as error:
        sys.stderr.write(f"strata: what was read could not be noted: {error}\n")
