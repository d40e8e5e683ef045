"""`strata dedup`: find duplicates and elect survivors.

Under Spark: `spark-submit jobs/deduplicate_documents.py --conf-file FILE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from strata.jobs.command.entry import job_main

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return job_main("dedup", argv)


if __name__ == "__main__":
    sys.exit(main())
