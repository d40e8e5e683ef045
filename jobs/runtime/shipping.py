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

__all__ = ["PACKAGES", "build_archive", "main"]

PACKAGES = (
    "strata",
    "strata.storage",
    "strata.storage.lifecycle",
    "strata.storage.integrity",
    "strata.storage.partitions",
    "strata.storage.reading",
    "strata.storage.cache",
    "strata.storage.transfer",
    "strata.pipelines",
    "strata.pipelines.kernels",
    "strata.pipelines.readers",
    "strata.pipelines.repair",
    "strata.pipelines.retraction",
    "strata.jobs",
    "strata.jobs.runtime",
    "strata.jobs.storage",
)
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
        for package in PACKAGES:
            for file in _files(package):
                name = f"{package.replace('.', '/')}/{file.name}"
                archive.writestr(zipfile.ZipInfo(name, TIME), file.read_bytes())
    return path


def _files(package: str) -> list[Path]:
    module = importlib.import_module(package)
    folder = Path(str(module.__file__)).parent
    return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the archive for ``spark-submit --py-files`` to the path given."""
    (target,) = sys.argv[1:] if argv is None else argv
    sys.stdout.write(f"{build_archive(Path(target))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
