"""Settings from layers of TOML: each layer overrides the one below it, key by key.

The layers, lowest first: the defaults of the models, the packaged ``base.toml``, the packaged file
of the environment (``STRATA_ENV``: local or cluster), the user's file, and ``--set key=value``.
Tables merge; arrays, ``inputs`` among them, are replaced as a whole. Relative paths are resolved
against the current directory, as the shell does, wherever the settings file is.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from strata.errors import SettingsError
from strata.place_fields import AS_WRITTEN
from strata.problems import problems_of, settings_error
from strata.provenance import Loaded, render
from strata.settings import Settings
from strata.toml_text import Path, dotted, leaves

__all__ = [
    "ENVIRONMENTS",
    "OVERRIDE_LAYER",
    "Loaded",
    "load_settings",
    "render",
    "spark_settings",
]

ENVIRONMENTS = ("local", "cluster")
ENVIRONMENT_VARIABLE = "STRATA_ENV"
OVERRIDE_LAYER = "--set"


@dataclass(frozen=True, slots=True)
class _Layer:
    name: str
    tree: dict[str, Any]


def load_settings(
    file: FilePath | None, overrides: Sequence[str] = (), env: str | None = None
) -> Loaded:
    """Merge the layers and check the result.

    Args:
        file: the user's file, if there is one.
        overrides: ``section.key=value`` each; the value is TOML, or else plain text.
        env: name of the environment; the default is STRATA_ENV, else ``local``.

    Raises:
        SettingsError: a file is missing or not TOML, or keys or values are wrong; all of these
            problems are in the one message.
    """
    said: list[SettingsError] = []
    layers = [_packaged("base"), _packaged(_environment(env))]
    if file is not None:
        try:
            layers.append(_user_layer(file))
        except SettingsError as error:
            said.append(error)
    is_whole = not said
    layers.append(_override_layer(overrides, said))
    tree: dict[str, Any] = {}
    origins: dict[Path, str] = {}
    for layer in layers:
        _merge(tree, layer.tree)
        _record_origins(origins, layer)
    named = {dotted(path): name for path, name in origins.items()}
    place = str(file) if file is not None else OVERRIDE_LAYER
    settings = None
    try:
        settings = Settings.model_validate(tree, context=AS_WRITTEN)
    except ValidationError as error:
        # What a file that cannot be read has or lacks is not known.
        problems = problems_of(error, tree, named, place) if is_whole else []
    else:
        problems = []
    if settings is None or said:
        # The cause is dropped: pydantic's text would show the values of storage_options.
        raise settings_error(said, problems) from None
    return Loaded(settings, named)


def spark_settings(overrides: Sequence[str] = (), env: str | None = None) -> Mapping[str, Any]:
    """The section ``[spark]`` as it applies without a user's file.

    Args:
        overrides: as in :func:`load_settings`.
        env: as in :func:`load_settings`.

    Raises:
        SettingsError: an override has the wrong form, or there is no such environment.
    """
    tree: dict[str, Any] = {}
    for layer in (_packaged("base"), _packaged(_environment(env)), _overridden(overrides)):
        _merge(tree, layer.tree)
    section = tree.get("spark", {})
    return section if isinstance(section, dict) else {}


def _environment(name: str | None) -> str:
    chosen = name or os.environ.get(ENVIRONMENT_VARIABLE) or ENVIRONMENTS[0]
    if chosen not in ENVIRONMENTS:
        raise SettingsError(
            f"there is no environment {chosen!r} ({ENVIRONMENT_VARIABLE})",
            hint=f"the environments are {', '.join(ENVIRONMENTS)}",
        )
    return chosen


def _packaged(name: str) -> _Layer:
    text = resources.files("strata").joinpath(f"{name}.toml").read_text("utf-8")
    return _Layer(f"{name}.toml", _normal(tomllib.loads(text)))


def _user_layer(file: FilePath) -> _Layer:
    try:
        return _Layer(str(file), _normal(tomllib.loads(file.read_text("utf-8-sig"))))
    except FileNotFoundError as error:
        raise SettingsError(
            f"there is no settings file {file}", hint="give the path of a TOML file"
        ) from error
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file} is not UTF-8 at byte {error.start}", hint="save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not TOML: {error}") from error


def _overridden(overrides: Iterable[str]) -> _Layer:
    """The layer of overrides that all have to be right."""
    said: list[SettingsError] = []
    layer = _override_layer(overrides, said)
    if said:
        raise settings_error(said, [])
    return layer


def _override_layer(overrides: Iterable[str], said: list[SettingsError]) -> _Layer:
    """The layer of overrides; what is wrong with one goes to `said`, and the others count."""
    tree: dict[str, Any] = {}
    seen: set[str] = set()
    for override in overrides:
        try:
            branch = _parse_override(override)
        except SettingsError as error:
            said.append(error)
            continue
        keys = {dotted(path) for path, _ in leaves(branch)}
        if seen & keys:
            twice = ", ".join(sorted(seen & keys))
            said.append(SettingsError(f"{OVERRIDE_LAYER} gives {twice} twice"))
        seen |= keys
        _merge(tree, branch)
    return _Layer(OVERRIDE_LAYER, tree)


def _parse_override(override: str) -> dict[str, Any]:
    """One override as nested tables; the key ends at the first ``=`` after which it is TOML."""
    key, equals, value = override.partition("=")
    while equals:
        branch = _branch(key.strip(), value.strip())
        if branch is not None:
            return _normal(branch)
        more, equals, value = value.partition("=")
        key = f"{key}={more}"
    raise SettingsError(
        f"{OVERRIDE_LAYER} {override.partition('=')[0]!r} is not section.key=value",
        hint="""for example --set dedup.threshold=0.9, or --set 'spark."spark.ui.enabled"=true'""",
    )


def _branch(key: str, value: str) -> dict[str, Any] | None:
    if "\n" in key:
        return None
    try:
        branch = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return None
    table = branch
    while isinstance(child := next(iter(table.values())), dict):
        table = child
    table[next(iter(table))] = _toml_or_text(value)
    return branch


def _toml_or_text(text: str) -> object:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _normal(tree: dict[str, Any]) -> dict[str, Any]:
    """Join the keys below ``spark``, so that ``spark.ui.enabled = true`` needs no quotes."""
    spark = tree.get("spark")
    if not isinstance(spark, dict):
        return tree
    joined = {".".join(str(part) for part in path): value for path, value in leaves(spark)}
    return tree | {"spark": joined}


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        mine = below.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            _merge(mine, value)
        else:
            below[key] = _copy(value)


def _copy(value: object) -> object:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value


def _record_origins(origins: dict[Path, str], layer: _Layer) -> None:
    for path in _replaced(layer.tree):
        for old in [known for known in origins if known[: len(path)] == path]:
            del origins[old]
    origins.update({path: layer.name for path, _ in leaves(layer.tree)})


def _replaced(tree: Mapping[str, Any], root: Path = ()) -> Iterable[Path]:
    """Paths where a layer replaces the whole subtree: those of all values that are not tables."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _replaced(value, (*root, key))
        else:
            yield (*root, key)
