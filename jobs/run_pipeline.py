"""`strata run`, and `spark-submit jobs/run_pipeline.py --conf-file FILE`: every stage in turn."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from strata.jobs.command.entry import job_main
from strata.pipelines.stages.compress import run_compress
from strata.pipelines.stages.decontaminate import run_decontaminate
from strata.pipelines.stages.dedup import run_dedup
from strata.pipelines.stages.shard import run_shard
from strata.pipelines.stages.tokenize import run_tokenize

__all__ = ["STAGES", "main"]

STAGES = (run_shard, run_decontaminate, run_dedup, run_tokenize, run_compress)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return job_main("run", "run every stage", STAGES, argv)


if __name__ == "__main__":
    sys.exit(main())
