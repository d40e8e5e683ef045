"""Checks of the machine itself: Java, Python, libraries, workers, memory and disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from strata.errors import MachineError
from strata.jobs.doctor.check import Check
from strata.jobs.session.current_directory import deleted_directory
from strata.jobs.session.java import find_java
from strata.jobs.session.selection import refuse_blocking, shadowing, unused_variables

__all__ = [
    "check_disk",
    "check_folder",
    "check_java",
    "check_memory",
    "check_packages",
    "check_python",
    "check_spark",
    "check_worker_python",
    "memory_bytes",
]

OLDEST_PYTHON = (3, 11)
# The first version that works, and the first that is not known to: the same bounds as in the build.
PACKAGES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    "pyspark": ((4, 3), (4, 4)),
    "pyarrow": ((24,), None),
}
WORKER_PROBE = "import sys, pyarrow; print('%d.%d' % sys.version_info[:2], pyarrow.__version__)"
PROBE_SECONDS = 60
UNITS = {"": 1 << 20, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
# The JVM needs this much besides its heap (Spark's own default for containers).
OVERHEAD = 1.1
MIN_FREE_BYTES = 2 << 30
GIB = 1 << 30


def check_folder() -> Check:
    """The current directory, where relative paths start and Spark does."""
    if deleted := deleted_directory():
        return Check.failed("folder", deleted, "")
    return Check("folder", ok=True, detail=f"relative paths start at {Path.cwd()}")


def check_spark(spark: Mapping[str, object]) -> Check:
    """What in the environment and in [spark] would keep local mode from its own Spark."""
    name, unused = "Spark", ", ".join(unused_variables())
    master = str(spark.get("spark.master") or os.environ.get("STRATA_MASTER") or "local[*]")
    try:
        if shadow := shadowing():
            raise shadow
        if master.startswith("local"):
            given = {key: str(value).lower() for key, value in spark.items()}
            refuse_blocking({**given, "spark.master": master})
    except MachineError as error:
        return Check.failed(name, error, "")
    if unused and master.startswith("local"):
        return Check(name, ok=True, detail=f"the installed one; local mode does not use {unused}")
    return Check(name, ok=True, detail=f"the installed one, with master {master}")


def check_java() -> Check:
    """A Java that Spark can use."""
    try:
        java = find_java()
    except MachineError as error:
        return Check.failed("Java", error, "")
    return Check("Java", ok=True, detail=f"{java.version} ({java.kind}) at {java.runtime}")


def check_python() -> Check:
    """The version of this Python."""
    return Check(
        "Python",
        ok=sys.version_info >= OLDEST_PYTHON,
        detail=f"{sys.version.split()[0]} at {sys.executable}",
        remedy="use Python 3.11 or newer",
    )


def check_packages() -> list[Check]:
    """The versions of the libraries that must be compatible with each other."""
    return [_check_package(name, *bounds) for name, bounds in PACKAGES.items()]


def _check_package(name: str, first: tuple[int, ...], end: tuple[int, ...] | None) -> Check:
    wanted = f">={_version_text(first)}" + (f",<{_version_text(end)}" if end else "")
    remedy = f"pip install '{name}{wanted}'"
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, ok=False, detail="it is not installed", remedy=remedy)
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:3])
    fits = numbers >= first and (end is None or numbers < end)
    return Check(name, ok=fits, detail=f"{found} ({wanted} is needed)", remedy=remedy)


def _version_text(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def check_worker_python(spark: Mapping[str, object]) -> Check:
    """The interpreter of the Python workers, as seen from this machine: it needs pyarrow."""
    name, program = "worker Python", _worker_python(spark)
    remedy = f"set PYSPARK_PYTHON to an interpreter that has Strata, such as {sys.executable}"
    try:
        answer = subprocess.run(
            [program, "-c", WORKER_PROBE],
            capture_output=True,
            check=True,
            errors="replace",
            timeout=PROBE_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        return Check(name, ok=False, detail=f"{program}: {reason}", remedy=remedy)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check.failed(name, error, remedy)
    version, arrow = answer.stdout.split()
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    detail = f"{program}: Python {version}, pyarrow {arrow}"
    if version != mine:
        return Check(name, ok=False, detail=f"{detail}; the driver has {mine}", remedy=remedy)
    return Check(name, ok=True, detail=detail)


def _worker_python(spark: Mapping[str, object]) -> str:
    """PYSPARK_PYTHON; else this interpreter in local mode, and on a cluster the one of PATH."""
    if named := os.environ.get("PYSPARK_PYTHON") or spark.get("spark.pyspark.python"):
        return str(named)
    master = str(spark.get("spark.master") or os.environ.get("STRATA_MASTER") or "local")
    return sys.executable if master.startswith("local") else "python3"


def check_memory(spark: Mapping[str, object]) -> Check:
    """The memory of the machine (or of its control group) against the driver's heap."""
    asked = str(spark.get("spark.driver.memory", "1g"))
    name, here = "memory", _memory_here()
    remedy = f"lower spark.driver.memory below {here / OVERHEAD / GIB:.1f}g, or add memory"
    try:
        heap = memory_bytes(asked)
    except ValueError as error:
        return Check.failed(name, error, "write it as 2g or 512m")
    detail = f"{here / GIB:.1f} GiB here, spark.driver.memory is {asked}"
    return Check(name, ok=heap * OVERHEAD <= here, detail=detail, remedy=remedy)


def memory_bytes(text: str) -> int:
    """Bytes of a size as Spark writes it: ``2g``, ``512m``, or MiB without a unit.

    Raises:
        ValueError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+)([kmgt]?)b?", text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no size")
    return int(match[1]) * UNITS[match[2]]


def _memory_here() -> int:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(physical, int(text)) if text.isdigit() else physical


def check_disk(spark: Mapping[str, object], min_free_bytes: int = MIN_FREE_BYTES) -> Check:
    """Free space where Spark spills and shuffles."""
    folder = os.environ.get("SPARK_LOCAL_DIRS") or str(
        spark.get("spark.local.dir", tempfile.gettempdir())
    )
    frees: dict[str, int] = {}
    for part in folder.split(","):
        try:
            frees[part] = shutil.disk_usage(part).free
        except OSError as error:
            return Check.failed("scratch disk", error, "set spark.local.dir to an existing folder")
    detail = ", ".join(f"{free / GIB:.1f} GiB free in {part}" for part, free in frees.items())
    remedy = (
        f"free {min_free_bytes / GIB:.0f} GiB, or set spark.local.dir to a folder that has them"
    )
    return Check(
        "scratch disk", ok=min(frees.values()) >= min_free_bytes, detail=detail, remedy=remedy
    )
