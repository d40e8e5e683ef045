"""What would make local mode use another Spark, or another one's settings, and what keeps it away.

An installed Spark, a cluster's configuration folder, Spark Connect and a module path are chosen by
environment variables that many machines set for everything that runs there. In local mode the Spark
beside this package is started, with the properties of the settings alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from strata.errors import MachineError
from strata.jobs.session.cache_folder import cached_file

__all__ = [
    "cores_of",
    "own_spark",
    "refuse_blocking",
    "shadowed_packages",
    "shadowing",
    "spark_folder",
    "unused_variables",
]

CONNECT = (
    "SPARK_REMOTE",
    "SPARK_LOCAL_REMOTE",
    "SPARK_CONNECT_MODE_ENABLED",
    "SPARK_CONNECT_MODE",
    "SPARK_API_MODE",
)
PLACES = ("SPARK_HOME", "SPARK_CONF_DIR")
ADDED = ("SPARK_DIST_CLASSPATH", "PYSPARK_SUBMIT_ARGS")
HADOOP = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")
# Hadoop's files of the same names lie behind these on the class path. Its variables stay, since
# clients of HDFS in Python need them.
HADOOP_FILES = ("core-site.xml", "hdfs-site.xml", "yarn-site.xml")
# The smallest heap with which Spark starts, in bytes: 1.5 times what it reserves.
SMALLEST_HEAP = 471_859_200
# Spark's default.
EVENTS = str(Path("/tmp", "spark-events"))
UNITS = {"": 1 << 20, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE = re.compile(r"(\d+)\s*([kmgt]?)b?")
# What a module path may hold in place of an installed package; pyspark comes with py4j.
PACKAGES = (
    *("pyspark", "py4j", "pyarrow", "numpy", "numba", "llvmlite", "pydantic", "pydantic_core"),
    *("fsspec", "sqlalchemy", "pyiceberg", "msgspec", "rich", "tokenizers", "zstandard"),
)


def spark_folder() -> Path:
    """The Spark that is installed as the package pyspark."""
    spec = find_spec("pyspark")
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders or ["pyspark"])))


@contextmanager
def own_spark() -> Iterator[None]:
    """Run a block in which a JVM is started: that of the installed package, with no defaults.

    Variables that select Spark Connect are removed for good, since PySpark asks for them at every
    call; the others are as before when the block ends.

    Raises:
        MachineError: the cache folder cannot be written.
    """
    for name in CONNECT:
        os.environ.pop(name, None)
    former = {name: os.environ.pop(name, None) for name in (*PLACES, *ADDED)}
    os.environ.update(SPARK_HOME=str(spark_folder()), SPARK_CONF_DIR=str(_conf_folder()))
    try:
        yield
    finally:
        for name, value in former.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _conf_folder() -> Path:
    """The folder of configuration files in local mode: none of Spark, and empty ones of Hadoop."""
    files = [cached_file(f"spark-conf/{name}", "<configuration/>\n") for name in HADOOP_FILES]
    return files[0].parent


def unused_variables() -> list[str]:
    """Variables of the environment that select another Spark, and that local mode passes over."""
    return [name for name in (*PLACES, *CONNECT, *ADDED, *HADOOP) if name in os.environ]


def cores_of(master: str) -> int:
    """How many tasks of one core a master of local mode runs at once."""
    if found := re.match(r"local\[(\d+)", master):
        return int(found[1])
    return os.cpu_count() or 2 if "[" in master or not master.startswith("local") else 1


def refuse_blocking(properties: Mapping[str, str]) -> None:
    """Check the properties with which no local Spark starts, or no task.

    Raises:
        MachineError: there is such a property; the message names all.
    """
    found = list(_blocking(properties, cores_of(properties.get("spark.master", "local[*]"))))
    if found:
        raise MachineError(
            f"local mode cannot work with {'; '.join(found)}",
            hint="change or leave out these properties, in [spark] or --set; `strata config FILE` "
            "says which file they come from",
        )


def _blocking(properties: Mapping[str, str], cores: int) -> Iterator[str]:
    for name in ("spark.remote", "spark.api.mode"):
        value = properties.get(name, "classic")
        if value != "classic":
            yield f"{name} = {value} (Spark Connect; Strata starts a Spark of its own)"
    cpus = properties.get("spark.task.cpus", "1")
    if not cpus.isdigit() or not 1 <= int(cpus) <= cores:
        yield f"spark.task.cpus = {cpus} (there are {cores} cores)"
    if properties.get("spark.eventLog.enabled", "").lower() == "true":
        yield from _events(properties.get("spark.eventLog.dir", EVENTS))
    size = properties.get("spark.driver.memory", "1g")
    heap = SIZE.fullmatch(size.strip().lower())
    if heap is None:
        yield f"spark.driver.memory = {size} (write it as 2g or 512m)"
    elif int(heap[1]) * UNITS[heap[2]] < SMALLEST_HEAP:
        yield f"spark.driver.memory = {size} (Spark needs 512m or more)"


def _events(place: str) -> Iterator[str]:
    path = re.sub("^file:(//)?", "", place)
    if "://" not in path and not Path(path).is_dir():
        yield f"spark.eventLog.dir = {place} (there is no such folder)"


def shadowing() -> MachineError | None:
    """The error of a PYTHONPATH with other copies of installed packages; None where it has none."""
    found = shadowed_packages()
    if not found:
        return None
    told = ", ".join(f"{name} in {folder}" for name, folder in found.items())
    return MachineError(
        f"PYTHONPATH has other copies of packages that Strata needs: {told}",
        hint="unset PYTHONPATH, or leave out these folders",
    )


def shadowed_packages() -> dict[str, str]:
    """Packages that are imported from a folder of PYTHONPATH in which they are not installed."""
    # Under spark-submit the module path is that of the Spark that the operator chose.
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    given = "" if submitted else os.environ.get("PYTHONPATH", "")
    entries = [os.path.abspath(entry) for entry in given.split(os.pathsep) if entry]
    places = {name: _place_of(name) for name in PACKAGES} if entries else {}
    return {
        name: entry
        for name, place in places.items()
        for entry in entries
        if place.startswith(f"{entry}{os.sep}") and not _is_installed(name, entry)
    }


def _place_of(name: str) -> str:
    spec = find_spec(name)
    return str(spec.origin or next(iter(spec.submodule_search_locations or [""]))) if spec else ""


def _is_installed(name: str, folder: str) -> bool:
    try:
        return os.path.abspath(str(metadata.distribution(name).locate_file(""))) == folder
    except metadata.PackageNotFoundError:
        return False
