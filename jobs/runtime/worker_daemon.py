"""The process that forks the Python workers of local mode, with their modules already imported.

Spark starts it as ``python -m``, and forks every worker from it. What it has imported, the workers
have: numba and the compiled kernels alone cost a second of each worker otherwise. Spark's own
daemon (``pyspark.daemon``) imports nothing before it forks, since a thread does not survive a fork
and a lock that it held stays locked; so nothing imported here may leave a thread of its own.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from pathlib import PurePath

__all__ = ["PRELOADED", "preload", "without_spark_archives"]

# What the tasks of the stages run, and what these import only when they run.
PRELOADED = (
    "pyspark.worker",
    "fsspec.implementations.local",
    "gigatoken",
    "tokenizers",
    "strata.pipelines.dedup_scan",
    "strata.pipelines.rewrite",
    "strata.pipelines.shard_task",
    "strata.pipelines.token_task",
)


def without_spark_archives(path: list[str]) -> list[str]:
    """A module path without Spark's own archives.

    Spark puts ``pyspark.zip`` first. The modules in it are not compiled, so that importing them
    costs 0.9 s; local mode has the same ones installed beside this package.
    """
    return [entry for entry in path if not _is_spark_archive(PurePath(entry).name)]


def _is_spark_archive(name: str) -> bool:
    return name == "pyspark.zip" or (name.startswith("py4j-") and name.endswith("-src.zip"))


def preload() -> None:
    """Import what workers need.

    A module that cannot be imported is left to the task that needs it, whose error tells why.
    """
    # One worker has one core; and a pool of threads made by an import would not be forked.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            break
    # What is there now stays: a worker's collections skip it, and so leave its pages shared.
    gc.freeze()


if __name__ == "__main__":
    sys.path[:] = without_spark_archives(sys.path)
    from pyspark.daemon import manager

    preload()
    manager()
