"""Settings as TOML text: keys, values, and the masking of secrets.

A place in the settings is a path, the keys and list positions from the root. Its dotted form quotes
the keys that TOML would quote: ``spark."spark.driver.memory"``, ``inputs.0.path``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["MASK", "Path", "dotted", "is_secret", "leaves", "shown", "toml_value"]

Path = tuple[str | int, ...]

MASK = "***"
SECRET_SECTIONS = ("storage_options", "catalog")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: Path) -> str:
    """The dotted form of a path."""
    return ".".join(_key(part) for part in path)


def _key(part: str | int) -> str:
    text = str(part)
    return text if BARE_KEY.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def is_secret(path: Path, value: object) -> bool:
    """Whether a value is in a secret section and does not refer to an environment variable."""
    return path[0] in SECRET_SECTIONS and not (isinstance(value, str) and value.startswith("env:"))


def shown(path: Path, value: object) -> str:
    """The value at a path as TOML, masked where it may be a secret."""
    return f'"{MASK}"' if is_secret(path, value) else toml_value(value)


def toml_value(value: object) -> str:
    """A value as TOML, on one line.

    Raises:
        TypeError: TOML has no such type.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _string(value)
        case Mapping():
            pairs = ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(toml_value(item) for item in value)}]"
        case _ if hasattr(value, "isoformat"):
            return str(value.isoformat())
        case _:
            raise TypeError(f"TOML has no value of the type {type(value).__name__}")


def _string(text: str) -> str:
    # JSON's escapes are TOML's too, except for DEL, which JSON leaves raw and TOML forbids.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def leaves(tree: Mapping[str, Any], root: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of nested tables with its path; arrays of tables are tables by position."""
    for key, value in tree.items():
        yield from _leaves((*root, key), value)


def _leaves(path: Path, value: object) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        yield from leaves(value, path)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for position, item in enumerate(value):
            yield from _leaves((*path, position), item)
    else:
        yield path, value
