"""Class data of the driver's JVM, cached so that its next start need not parse 10,000 classes.

Java maps an archive of loaded classes into memory (class-data sharing, JEP 350). Spark's start and
first job take half the processor time with one. It is made by a process of its own after the first
run in local mode (:mod:`strata.jobs.setup.class_data`), belongs to one Java, Spark and
version of Strata, and costs nothing but speed where it is missing, stale or refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from strata.jobs.session.cache_folder import cache_folder
from strata.jobs.session.java import Java
from strata.jobs.session.selection import spark_folder
from strata.version import VERSION

__all__ = ["SWITCH", "ClassData", "class_data_of", "remove_old"]

SWITCH = "STRATA_CLASS_DATA"
BUILDER = "strata.jobs.setup.class_data"
PROCESSES = Path("/proc")
# Archives to keep, one per pair of Java and Spark; each is 160 MB.
KEPT = 3
# A failed build is tried again after a day; what it left behind may be deleted after an hour.
RETRY_SECONDS = 86_400
DRAFT_SECONDS = 3_600
# Options of the user that decide about class data themselves.
OWN = ("-Xshare", "-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit", "-XX:DumpLoadedClassList")


@dataclass(frozen=True, slots=True)
class ClassData:
    """The archives of one Java, Spark and Strata.

    A file's name ends in its size: a JVM that maps a truncated archive dies of SIGBUS, so it only
    ever gets complete ones. The JVM detects other damage itself.
    """

    folder: Path
    key: str
    java: Java

    @property
    def archive(self) -> Path | None:
        """The complete archive, if there is one."""
        return self._whole(f"{self.key}-top-*.jsa")

    @property
    def base(self) -> Path | None:
        """The archive of Java's own classes, for a runtime that comes without."""
        return self._whole(f"{self.key}-base-*.jsa")

    @property
    def needs_base(self) -> bool:
        """Whether the runtime comes without an archive of its own classes."""
        return not (self.java.home / "lib/server/classes.jsa").is_file()

    def options(self) -> list[str]:
        """JVM options that use the present archives; the JVM ignores unusable ones silently."""
        archive = self.archive
        if archive is None or (self.needs_base and self.base is None):
            return []
        os.utime(archive)
        files = [str(self.base), str(archive)] if self.needs_base else [str(archive)]
        tags = ("cds", "aot") if self.java.version.feature >= 24 else ("cds",)
        quiet = [f"-Xlog:{tag}*=off" for tag in tags]
        return ["-Xshare:auto", f"-XX:SharedArchiveFile={os.pathsep.join(files)}", *quiet]

    def is_mapped(self, pid: int, processes: Path = PROCESSES) -> bool:
        """Whether a JVM has mapped the archive; True where the system does not say."""
        try:
            maps = (processes / str(pid) / "maps").read_text()
        except OSError:
            return True
        return self.archive is not None and str(self.archive) in maps

    def keep(self, draft: Path, part: str) -> Path:
        """Put a finished archive in its place, in one step."""
        with draft.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        return draft.rename(self.folder / f"{self.key}-{part}-{size}.jsa")

    def build_in_background(self) -> None:
        """Start a build of the archive, unless one was tried recently, without waiting for it."""
        attempt = self.folder / f"{self.key}.attempt"
        try:
            if _age(attempt) < RETRY_SECONDS:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            attempt.touch()
            for refused in self.folder.glob(f"{self.key}-*.jsa"):
                refused.unlink()
            subprocess.Popen(
                [sys.executable, "-m", BUILDER],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            # A cache that cannot be written only costs speed.
            return

    def _whole(self, pattern: str) -> Path | None:
        for file in self.folder.glob(pattern):
            if file.stem.rpartition("-")[2] == str(file.stat().st_size):
                return file
        return None


def class_data_of(java: Java, given: str = "") -> ClassData | None:
    """The class data for a JVM; None where it is switched off.

    Args:
        java: the Java that will run.
        given: the JVM options of the user.
    """
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "false", "no"):
        return None
    if any(option.startswith(OWN) for option in given.split()):
        return None
    return ClassData(cache_folder() / "class-data", _key(java), java)


def _key(java: Java) -> str:
    jars = spark_folder() / "jars"
    facts = {
        "strata": VERSION,
        "java": [str(java.home.resolve()), str(java.version), _changed(java.home / "release")],
        "spark": [str(jars), _changed(jars)],
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime if path.exists() else float("inf")


def remove_old(folder: Path) -> None:
    """Remove the archives of all but the newest keys, and what interrupted builds left behind."""
    newest: dict[str, float] = {}
    for file in folder.glob("*.jsa"):
        key = file.name.split("-")[0]
        newest[key] = max(newest.get(key, 0.0), file.stat().st_mtime)
    kept = sorted(newest, key=lambda key: newest[key])[-KEPT:]
    for key in newest.keys() - set(kept):
        _unlink([*folder.glob(f"{key}-*.jsa"), *folder.glob(f"{key}.attempt")])
    for draft in folder.glob("draft-*"):
        if _age(draft) > DRAFT_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)


def _unlink(files: Iterable[Path]) -> None:
    for file in files:
        # Another process may have removed it.
        file.unlink(missing_ok=True)
