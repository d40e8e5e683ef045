"""The process that forks the Python workers of local mode, with their modules already imported.

Spark starts it as ``python -m``, and forks every worker from it, so workers have all that it has
imported: otherwise numba and the compiled kernels alone cost each worker a second. Spark's own
daemon (``pyspark.daemon``) imports nothing before it forks, since a thread does not survive a fork
and a lock that it held stays locked; so nothing imported here may leave a thread running.

Importing takes as long as a JVM takes to start. So the driver starts this module as well, beside
the JVM (:mod:`strata.jobs.session.warm_daemon`), to import and wait. The process that Spark starts
then hands its pipes and its environment over to the waiting one, and merely lasts as long as it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
from pathlib import Path, PurePath

__all__ = ["PRELOADED", "WAITING", "WAIT_FLAG", "preload", "without_spark_archives"]

# What the tasks of the stages run, and what these import only when they run.
PRELOADED = (
    "pyspark.worker",
    "fsspec.implementations.local",
    "gigatoken",
    "tokenizers",
    "strata.pipelines.dedup.in_memory",
    "strata.pipelines.kernels.bucket_scan",
    "strata.pipelines.kernels.content_hash",
    "strata.pipelines.kernels.minhash",
    "strata.pipelines.kernels.signature_index",
    "strata.pipelines.kernels.shingle_sets",
    "strata.pipelines.readers.dates",
    "strata.pipelines.readers.read",
    "strata.pipelines.maintenance.rewrite_task",
    "strata.pipelines.ingest.task",
    "strata.pipelines.tokenization.task",
    "strata.pipelines.tokenization.engine",
)
WAITING = "STRATA_WAITING_DAEMON"
"""The environment variable that names the socket of a waiting daemon."""
WAIT_FLAG = "--wait"
"""The flag, before the number of a listening socket, of a daemon that is to wait."""
TAKEN = b"+"
STANDARD_FILES = (0, 1, 2)


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

    A module that cannot be imported is left to the task that needs it, whose error says why.
    """
    # One worker has one core; and a pool of threads made by an import would not be forked.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            break
    # Freeze present objects: garbage collection in workers then skips them, and pages stay shared.
    gc.freeze()


def _hand_over(place: str) -> bool:
    """Hand pipes and environment to a waiting daemon, and last as long as it.

    Returns:
        False where none is waiting: each daemon takes over from one process only.
    """
    facts = {"environment": dict(os.environ), "path": sys.path, "argv": sys.argv}
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(place)
            socket.send_fds(link, [b"."], list(STANDARD_FILES))
            link.sendall(json.dumps(facts).encode())
            link.shutdown(socket.SHUT_WR)
            taken = link.recv(len(TAKEN)) == TAKEN
        except OSError:
            return False
        # Nothing more is sent: this returns when the daemon has ended.
        return taken and link.recv(1) == b""


def _wait(listener: socket.socket) -> socket.socket:
    """Take the place of the first process that connects; exit when the driver does.

    Returns:
        The connection, to be kept open as long as this process lasts.
    """
    # The driver has the other end of stdin and never writes to it.
    sources: list[socket.socket | int] = [listener, 0]
    ready, _, _ = select.select(sources, [], [])
    # Whatever kills this process later, it leaves nothing on the disk.
    shutil.rmtree(Path(listener.getsockname()).parent, ignore_errors=True)
    if listener not in ready:
        sys.exit(0)
    link, _ = listener.accept()
    listener.close()
    _, files, _, _ = socket.recv_fds(link, 1, len(STANDARD_FILES))
    facts = json.loads(b"".join(iter(lambda: link.recv(1 << 16), b"")))
    for target, file in zip(STANDARD_FILES, files, strict=True):
        os.dup2(file, target)
        os.close(file)
    link.sendall(TAKEN)
    os.environ.clear()
    os.environ.update(facts["environment"])
    sys.path[:], sys.argv[:] = facts["path"], facts["argv"]
    return link


def main() -> None:
    """Run as the daemon, as the process that Spark takes for it, or as one that waits for that."""
    sys.path[:] = without_spark_archives(sys.path)
    place, link = os.environ.pop(WAITING, ""), None
    if WAIT_FLAG in sys.argv:
        # An interrupt is the driver's to handle, as it is for the JVM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        listener = socket.socket(fileno=int(sys.argv[-1]))
        preload()
        link = _wait(listener)
    elif place and Path(place).exists() and _hand_over(place):
        return
    else:
        preload()
    from pyspark.daemon import manager

    try:
        manager()
    finally:
        if link is not None:
            link.close()


if __name__ == "__main__":
    main()
