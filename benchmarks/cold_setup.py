"""`make venv` in a new clone with empty caches: with uv, and with pip alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ColdSetup", "measure_setup", "setup_table"]

INSTALLERS = ("uv", "pip")
# What make_venv.sh says when the packages are next, when the kernels are, and when uv failed.
PACKAGES, KERNELS, FAILED = "Installing the", "Compiling the", "Installing with"
# Each names a folder of its own, so that nothing of an earlier set-up is found.
CACHES = ("XDG_CACHE_HOME", "PIP_CACHE_DIR", "UV_CACHE_DIR", "NUMBA_CACHE_DIR")


@dataclass(frozen=True, slots=True)
class ColdSetup:
    """Seconds of one set-up: the bare environment, the packages with uv itself, the kernels."""

    installer: str
    environment: float
    packages: float
    kernels: float

    @property
    def seconds(self) -> float:
        """From the command to its exit."""
        return self.environment + self.packages + self.kernels


def measure_setup(root: Path, scratch: Path) -> list[ColdSetup]:
    """Set up the last commit of a repository, once with each installer.

    Most of it is a download: compare what ran within minutes on one network.
    """
    return [_set_up(root, scratch / name, name) for name in INSTALLERS]


def setup_table(measured: Iterable[ColdSetup]) -> Iterator[tuple[str, ...]]:
    """Rows of text: installer, environment, packages, kernels, all."""
    for each in measured:
        seconds = (each.environment, each.packages, each.kernels, each.seconds)
        yield (each.installer, *(f"{some:.0f}" for some in seconds))


def _set_up(root: Path, folder: Path, installer: str) -> ColdSetup:
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(root), str(clone)], check=True)
    caches = {name: str(folder / name) for name in CACHES}
    command = ["scripts/make_venv.sh", ".venv"]
    environment = {**os.environ, **caches, "INSTALLER": installer, "PYTHON": sys.executable}
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        begins = {" ".join(line.split()[:2]): time.perf_counter() for line in running.stdout}
    end = time.perf_counter()
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    if FAILED in begins:
        raise RuntimeError("uv could not be had, so pip did its part")
    packages, kernels = begins[PACKAGES], begins[KERNELS]
    return ColdSetup(installer, packages - start, kernels - packages, end - kernels)
