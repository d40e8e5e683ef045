"""The merged settings as text, each value with the layer that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strata.place_fields import AS_WRITTEN
from strata.settings import Settings
from strata.toml_text import Path, dotted, shown

__all__ = ["DEFAULT_LAYER", "Loaded", "render"]

DEFAULT_LAYER = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the layer that gave each value that is not a model's default.

    `origins` maps dotted keys (``dedup.ngram``, ``inputs.0.path``, ``spark."spark.ui.enabled"``) to
    the name of a layer: ``base.toml``, ``local.toml``, the user's file, or ``--set``.
    """

    settings: Settings
    origins: Mapping[str, str]


def render(loaded: Loaded) -> str:
    """The settings as TOML, each value followed by a comment that names its layer.

    The text is TOML that loads to the same settings, with two exceptions: values that may be
    secrets are masked, and settings without a value appear as comments.
    """
    tree = loaded.settings.model_dump(mode="json", context=AS_WRITTEN)
    return "\n".join(_table((), tree, loaded.origins)).strip() + "\n"


def _table(path: Path, table: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    below = {key: value for key, value in table.items() if _has_own_header(value)}
    for key, value in table.items():
        if key not in below:
            yield _line((*path, key), value, origins)
    for key, value in below.items():
        yield from _section((*path, key), value, origins)


def _has_own_header(value: object) -> bool:
    is_array = isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    return is_array or isinstance(value, Mapping)


def _section(
    path: Path, value: Mapping[str, Any] | Sequence[Mapping[str, Any]], origins: Mapping[str, str]
) -> Iterator[str]:
    """A table under its header, or each table of an array under the header of the array."""
    header = dotted(tuple(part for part in path if isinstance(part, str)))
    if isinstance(value, Mapping):
        yield from ("", f"[{header}]")
        yield from _table(path, value, origins)
        return
    for position, item in enumerate(value):
        yield from ("", f"[[{header}]]")
        yield from _table((*path, position), item, origins)


def _line(path: Path, value: object, origins: Mapping[str, str]) -> str:
    origin = origins.get(dotted(path), DEFAULT_LAYER)
    key = dotted(path[-1:])
    if value is None:
        return f"# {key} is not set"
    return f"{key} = {shown(path, value)}  # {origin}"
