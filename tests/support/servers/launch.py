"""A server that a script beside this module starts in a folder of its own, and ends by its pids."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Server", "cache_folder", "free_ports", "running"]

SCRIPTS = Path(__file__).parent
# A first start installs packages.
UP_SECONDS = 900
DOWN_SECONDS = 120
GONE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Server:
    """One or more processes that belong together.

    Attributes:
        script: file name of the script that starts and ends them.
        folder: their configuration, data, logs and process ids.
        environment: what the script is told, such as ports.
    """

    script: str
    folder: Path
    environment: Mapping[str, str]

    def up(self) -> None:
        """Start every process that does not run, and wait until the server answers."""
        self._run("up", UP_SECONDS)

    def down(self) -> None:
        """End every process; the data stay."""
        self._run("down", DOWN_SECONDS)

    def pid(self, process: str) -> int:
        """The id of a process by its name in the script."""
        return int((self.folder / "run" / f"{process}.pid").read_text())

    def send(self, process: str, number: signal.Signals) -> None:
        """Send a signal to a process, and wait for its end where it is SIGKILL."""
        pid = self.pid(process)
        os.kill(pid, number)
        end = time.monotonic() + GONE_SECONDS
        while number is signal.SIGKILL and _runs(pid):
            if time.monotonic() > end:
                raise TimeoutError(f"{process} ({pid}) outlives SIGKILL")
            time.sleep(0.01)

    def _run(self, action: str, seconds: float) -> None:
        # Its output goes to a file: a daemon that kept a pipe open would never let the call end.
        output = self.folder / f"{action}.log"
        with output.open("w") as log:
            status = subprocess.run(
                [str(SCRIPTS / self.script), action, str(self.folder)],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=seconds,
                check=False,
            ).returncode
        if status:
            raise RuntimeError(f"{self.script} {action} failed ({status}):\n{output.read_text()}")


def _runs(pid: int) -> bool:
    # A zombie, which its parent has not reaped yet, has an empty command line.
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


@contextmanager
def running(script: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run a server in a new folder; afterwards its processes and the folder are gone."""
    # Short, as the path of a Unix socket inside may have 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix=f"strata-{Path(script).stem}-"))
    server = Server(script, folder, environment)
    try:
        server.up()
        yield server
    finally:
        server.down()
        shutil.rmtree(folder)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def cache_folder(name: str) -> Path:
    """A folder that keeps what servers need from one run to the next."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "strata" / "services" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
