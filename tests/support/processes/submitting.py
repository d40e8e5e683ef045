"""Job scripts under spark-submit, in local mode."""

from __future__ import annotations

from pathlib import Path

import pyspark

from strata.jobs.session.java import find_java
from tests.support.processes.bare_python import bare_environment

JOBS = Path(__file__).parents[3] / "jobs"


def submit_command(archive: Path, script: str, *more: str) -> list[str]:
    """The command that submits a script, with the package from an archive."""
    return [
        str(Path(pyspark.__file__).parent / "bin" / "spark-submit"),
        *("--master", "local[2,4]", "--driver-memory", "1g", "--py-files", str(archive)),
        *(str(JOBS / f"{script}.py"), *more),
    ]


def submit_environment(python: Path) -> dict[str, str]:
    """The environment in which it runs, on an interpreter with Strata's dependencies."""
    return bare_environment() | {
        "JAVA_HOME": str(find_java().home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
    }
