"""`strata dedup`: find duplicates and elect survivors.

Under Spark: `spark-submit jobs/deduplicate_documents.py --conf-file FILE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from strata.jobs.command.entry import job_main
from strata.pipelines.stages.decontaminate import run_decontaminate
from strata.pipelines.stages.dedup import run_dedup

__all__ = ["STAGES", "main"]

STAGES = (run_decontaminate, run_dedup)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return job_main("dedup", "find duplicates and elect survivors", STAGES, argv)


if __name__ == "__main__":
    sys.exit(main())
