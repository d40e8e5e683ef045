"""The quickstart corpus: texts that every Python installation has, as inputs in three formats.

Sources and licences are read where they are. Package metadata becomes JSON lines (zstd), and the
pages of ``help()`` become Parquet. A second call finds the same files and leaves them alone.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata, resources
from pathlib import Path

__all__ = ["main", "prepare"]

TEMPLATE = "quickstart.toml"
# Some tens of MB, including the packages that pip bundles.
LIBRARIES = (
    "certifi", "idna", "numba", "numpy", "packaging", "pip", "pygments", "pyspark", "requests",
    "rich", "setuptools", "typing_extensions.py", "urllib3",
)  # fmt: skip
LICENCES = ("*.dist-info/LICEN[CS]E*", "*.dist-info/licenses/**")
FOREIGN = ("site-packages", "dist-packages", "__pycache__")


def prepare(folder: Path) -> Path:
    """Write the settings file and the inputs that must be made.

    Returns:
        The settings file, ``quickstart.toml`` in the folder.
    """
    inputs = folder / "input"
    inputs.mkdir(parents=True, exist_ok=True)
    _write(inputs / "packages.jsonl.zst", _package_lines())
    _write(inputs / "topics.parquet", _topic_table())
    file = folder / TEMPLATE
    _write(file, _settings_text(folder.resolve()).encode())
    return file


def _settings_text(folder: Path) -> str:
    text = resources.files("strata").joinpath(TEMPLATE).read_text("utf-8")
    text = text.replace("{folder}", _escaped(str(folder)))
    for name, paths in _places().items():
        text = text.replace(f'"{{{name}}}"', _list_text(paths))
    return text


def _escaped(text: str) -> str:
    # In a place of the settings, two dollar signs are one.
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False)[1:-1]


def _list_text(paths: Sequence[str]) -> str:
    lines = "".join(f'  "{_escaped(path)}",\n' for path in paths)
    return f"[\n{lines}]"


def _places() -> Mapping[str, Sequence[str]]:
    stdlib = Path(sysconfig.get_path("stdlib"))
    site = Path(sysconfig.get_path("purelib"))
    return {
        "stdlib": [f"{stdlib}/*.py", *_source_globs(stdlib, sorted(_folders(stdlib)))],
        "libraries": _source_globs(site, LIBRARIES),
        "licences": [f"{site}/{glob}" for glob in LICENCES if any(site.glob(glob))],
    }


def _folders(stdlib: Path) -> list[str]:
    return [
        entry.name for entry in stdlib.iterdir() if entry.is_dir() and entry.name not in FOREIGN
    ]


def _source_globs(root: Path, names: Sequence[str]) -> list[str]:
    """Globs of the sources below some folders of `root`, and those of `names` that are files."""
    globs = [f"{root}/{name}/**/*.py" for name in names if any((root / name).rglob("*.py"))]
    return globs + [f"{root}/{name}" for name in names if (root / name).is_file()]


def _package_lines() -> bytes:
    """One JSON line per package, by name, as a zstd frame."""
    import zstandard

    packages = {str(each.metadata["Name"]): each for each in metadata.distributions()}
    lines = [_package_line(name, packages[name].metadata) for name in sorted(packages)]
    return zstandard.ZstdCompressor(level=9).compress("".join(lines).encode())


def _package_line(name: str, facts: metadata.PackageMetadata) -> str:
    described = facts.json
    record = {
        "name": name,
        "version": described.get("version"),
        "summary": described.get("summary"),
        "home_page": described.get("home_page"),
        "classifiers": described.get("classifier", []),
        "description": described.get("description") or described.get("summary") or name,
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


def _topic_table() -> bytes:
    """The pages of help() by topic, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    topics: Mapping[str, str] = import_module("pydoc_data.topics").topics
    names = sorted(topics)
    table = pa.table({"id": names, "text": [topics[name] for name in names]})
    target = io.BytesIO()
    pq.write_table(table.append_column("lang", pa.array(["en"] * len(names))), target)
    return target.getvalue()


def _write(file: Path, content: bytes) -> None:
    # An unchanged file keeps its modification time, so that a second run finds its stages done.
    if not file.is_file() or file.read_bytes() != content:
        file.write_bytes(content)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the quickstart in a folder and say where its settings are."""
    parser = argparse.ArgumentParser(prog="quickstart", description=prepare.__doc__)
    parser.add_argument("folder", type=Path)
    file = prepare(parser.parse_args(argv).folder)
    sys.stdout.write(f"Settings: {file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
