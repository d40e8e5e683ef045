"""A JAVA_HOME over a Java runtime, for what Spark passes to every Java that it starts.

``--add-modules=jdk.incubator.vector`` serves MLlib alone; a runtime without that module refuses to
start, and one with it warns of it at every start. The shim is a folder of links to the runtime
whose ``bin/java`` drops the option.
It also drops the first of two mentions of one archive from Spark's class path, which Java 21 would
refuse together with the class data of all the others (:mod:`strata.jobs.runtime.class_data`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from pathlib import Path

from strata.errors import MachineError
from strata.jobs.runtime.cache_folder import cache_folder

__all__ = ["VECTOR_MODULE", "is_shim", "make_shim"]

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
exec {java} "$@"
"""


def make_shim(real: Path) -> Path:
    """The shim of the runtime `real` below XDG_CACHE_HOME/strata, made or mended where needed.

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
        and program.read_text() == script
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
    program.write_text(script)
    program.chmod(0o755)
