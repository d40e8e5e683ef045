"""An interpreter that has Strata's dependencies, but not Strata: what comes, comes from a zip."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def make_bare_python(folder: Path) -> Path:
    """Make the interpreter in an empty folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    # A path file adds a folder without running the path files in it, such as an editable install's.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    absent = subprocess.run(
        [str(python), "-c", "import strata"],
        capture_output=True,
        cwd=folder,
        env=bare_environment(),
    )
    assert absent.returncode != 0
    return python


def bare_environment() -> dict[str, str]:
    """This environment without further places of packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
