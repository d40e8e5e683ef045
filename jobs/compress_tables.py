"""`strata compress`: compact the tables into their tiers.

Under Spark: `spark-submit jobs/compress_tables.py --conf-file FILE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from strata.jobs.command.entry import job_main

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return job_main("compress", argv)


if __name__ == "__main__":
    sys.exit(main())
