"""A daemon of Python workers that is started beside the JVM, so that both are ready together."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from strata.jobs.session.worker_daemon import WAIT_FLAG, WAITING

__all__ = ["DAEMON_MODULE", "WarmDaemon"]

DAEMON_MODULE = "strata.jobs.session.worker_daemon"
EXECUTOR_VARIABLES = "spark.executorEnv."
# A daemon that has been used has ended its workers already, since Spark has closed its pipe.
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class WarmDaemon:
    """The waiting process, and the folder of its socket, which only this user may enter."""

    process: subprocess.Popen[bytes]
    folder: Path

    @classmethod
    def start(cls, properties: Mapping[str, str]) -> WarmDaemon | None:
        """Start it and announce it to the JVM by the environment; None where that fails.

        Args:
            properties: properties of the session; the executors' environment variables apply
                while modules are imported.
        """
        size = len(EXECUTOR_VARIABLES)
        mine = {n[size:]: v for n, v in properties.items() if n.startswith(EXECUTOR_VARIABLES)}
        folder: Path | None = None
        try:
            folder = Path(tempfile.mkdtemp(prefix="strata-daemon-"))
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(folder / "socket"))
                listener.listen(1)
                process = subprocess.Popen(
                    [sys.executable, "-m", DAEMON_MODULE, WAIT_FLAG, str(listener.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[listener.fileno()],
                    env={**os.environ, **mine},
                    # Ctrl-C is for the driver, which ends this process.
                    process_group=0,
                )
        except OSError:
            # No room, or a path too long for a socket. Spark starts a daemon of its own then.
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            return None
        os.environ[WAITING] = str(folder / "socket")
        return cls(process, folder)

    def stop(self) -> None:
        """Make sure that it has ended, used or not."""
        os.environ.pop(WAITING, None)
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
