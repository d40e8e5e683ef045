"""The table of input formats: one row says how files of a format are found, cut and read.

A reader is a module of this room with a function ``read_split``, see
:class:`~strata.pipelines.readers.read.Reader`. It is imported by the first task that reads its
format, so that the driver, which only lists files, does not load it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from strata.settings import InputFormat

__all__ = ["FORMATS", "SUFFIX_FORMATS", "Cut", "Format"]


class Cut(StrEnum):
    """How a file is cut into pieces that tasks read separately."""

    BYTES = "bytes"
    """By ranges of bytes, where it is not compressed as a whole."""
    ROW_GROUPS = "row groups"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Format:
    """A format of input files.

    Attributes:
        module: the module of this room with its ``read_split``.
        position: what the position of a record counts, in the singular.
        cut: how its files are cut.
        suffixes: endings of file names, in lower case, without that of a compression.
    """

    module: str
    position: str
    cut: Cut
    suffixes: tuple[str, ...]


FORMATS: Mapping[InputFormat, Format] = MappingProxyType(
    {
        InputFormat.JSONL: Format(
            "jsonl", "byte", Cut.BYTES, (".jsonl", ".ndjson", ".jsonlines", ".json")
        ),
        InputFormat.PARQUET: Format("parquet", "row", Cut.ROW_GROUPS, (".parquet", ".pq")),
        InputFormat.CSV: Format("csv", "record", Cut.WHOLE, (".csv", ".tsv")),
        InputFormat.TEXT: Format(
            "text",
            "byte",
            Cut.WHOLE,
            (
                *(".txt", ".text", ".md", ".rst", ".html", ".htm", ".xml", ".tex", ".log"),
                *(".org", ".adoc", ".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".java"),
                *(".js", ".ts", ".go", ".rs", ".rb", ".sh", ".sql", ".scala", ".kt", ".toml"),
                ".yaml",
            ),
        ),
    }
)
SUFFIX_FORMATS: Mapping[str, InputFormat] = MappingProxyType(
    {suffix: name for name, row in FORMATS.items() for suffix in row.suffixes}
)
