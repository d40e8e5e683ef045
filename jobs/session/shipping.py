"""The package as one zip, for workers that do not have it installed.

The archive has the same layout as the wheel (``strata/…``); it must end in ``.zip``, because
executors do not import from a ``.whl``.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["build_archive", "main", "packages"]

# Each floor is a folder of its own in a checkout, so a walk over `strata` alone would miss them.
FLOORS = ("strata", "strata.storage", "strata.pipelines", "strata.jobs")
SUFFIXES = frozenset({".py", ".toml", ".zst", ".j2", ".typed"})
# A fixed time makes the archive depend on its content alone.
TIME = (1980, 1, 1, 0, 0, 0)


def build_archive(target: Path | None = None) -> Path:
    """Write the installed package as a zip.

    Args:
        target: path of the archive; a temporary folder when not given.
    """
    path = target or Path(tempfile.mkdtemp(prefix="strata-")) / "strata.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for package, folder in packages().items():
            for file in _files(folder):
                name = f"{package.replace('.', '/')}/{file.name}"
                archive.writestr(zipfile.ZipInfo(name, TIME), file.read_bytes())
    return path


def packages() -> dict[str, Path]:
    """The packages of Strata by name, each with the folder that holds its modules."""
    found: dict[str, Path] = {}
    for floor in FLOORS:
        top = Path(str(importlib.import_module(floor).__file__)).parent
        for marker in sorted(top.rglob("__init__.py")):
            name = ".".join([floor, *marker.parent.relative_to(top).parts])
            found.setdefault(name, marker.parent)
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the archive for ``spark-submit --py-files`` to the path given."""
    (target,) = sys.argv[1:] if argv is None else argv
    sys.stdout.write(f"{build_archive(Path(target))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
