"""All problems of the settings as one error that names every key, value, place and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from strata.errors import SettingsError
from strata.model import NAME
from strata.place_fields import AS_WRITTEN
from strata.settings import CORPUS_AT, Settings
from strata.storage_settings import HINT, WAREHOUSE_TIER
from strata.toml_text import Path, dotted, leaves, shown

__all__ = ["Problem", "problems_of", "settings_error"]

REQUIRED = "it is required"
# What stands in for a required key that is missing or wrong, while the others are checked.
REQUIRED_VALUES: Mapping[str | int, Any] = {
    "corpus": "x",
    "inputs": [{"path": "x"}],
    "path": "x",
    "url": "x",
    "to": WAREHOUSE_TIER,
    "vocab_size": 1000,
}
# The same for a whole member of a section, whose other members others may name.
MEMBERS: Mapping[str | int, Mapping[str, str]] = {
    "inputs": {"path": "x"},
    "tiers": {"url": "x"},
    "lifecycle": {"to": WAREHOUSE_TIER},
}
ROUNDS = 10
MUST = "must be "
# Kinds of pydantic's errors, in terms of TOML.
FORMS: Mapping[str, str] = {
    "string_type": "text, in quotes",
    "int_type": "a whole number, without quotes",
    "int_parsing": "a whole number, without quotes",
    "int_from_float": "a whole number",
    "float_type": "a number, without quotes",
    "float_parsing": "a number, without quotes",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_too_short": "text that is not empty",
}
PATTERNS: Mapping[str, str] = {
    NAME: "a name of letters, digits, _ and -, that begins with a letter and has at most 63",
    CORPUS_AT: "the name of a corpus, or NAME@SNAPSHOT",
    HINT: "a name of capital letters, digits and _",
}
# Pydantic's other messages, which speak of Python, in terms of TOML.
PLAIN = {"dictionary": "table", "tuple": "list", "Tuple": "The list", "String": "The text"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; `value` is TOML, and empty where the value is missing or a whole table."""

    path: Path
    value: str
    place: str
    what: str

    def __str__(self) -> str:
        key = dotted(self.path) or "settings"
        return f"{key}{f' = {self.value}' if self.value else ''} ({self.place}): {self.what}"


def settings_error(said: Sequence[SettingsError], problems: Sequence[Problem]) -> SettingsError:
    """One error for what is wrong with layers, and with the keys and values in them."""
    if len(said) == 1 and not problems:
        return said[0]
    told = [*map(str, said), *map(str, problems)]
    if len(told) == 1:
        return SettingsError(told[0])
    lines = "\n  ".join(told)
    return SettingsError(f"{len(told)} problems in the settings:\n  {lines}")


def problems_of(
    error: ValidationError, tree: Mapping[str, Any], origins: Mapping[str, str], place: str
) -> list[Problem]:
    """All problems in the merged settings, in the order in which they are found.

    A rule between several keys is only checked where each of them is right. So what is wrong is
    left out, and the rest is checked again.

    Args:
        error: what pydantic found.
        tree: the merged settings that it validated.
        origins: layer of each dotted key in `tree`.
        place: where a missing key would belong.
    """
    problems: dict[str, Problem] = {}
    rest = deepcopy(dict(tree))
    for _ in range(ROUNDS):
        found = _found(error, rest, origins, place)
        for problem in found:
            # What was left out before may be missed by another rule.
            problems.setdefault(dotted(problem.path), problem)
            _leave_out(rest, problem.path)
        try:
            Settings.model_validate(rest, context=AS_WRITTEN)
            break
        except ValidationError as another:
            error = another
    return list(problems.values())


def _leave_out(tree: dict[str, Any], path: Path) -> None:
    """Remove what is at a path, or put something right there where it is required."""
    if not path:
        return
    *above, last = path
    node: Any = tree
    for part in above:
        node = node[part]
    if len(above) == 1 and above[0] in MEMBERS:
        node[last] = dict(MEMBERS[above[0]])
    elif isinstance(node, list):
        # A shorter list would move what comes behind.
        _leave_out(tree, tuple(above))
    elif isinstance(node, dict):
        node.pop(last, None)
        if last in REQUIRED_VALUES:
            node[last] = deepcopy(REQUIRED_VALUES[last])


def _found(
    error: ValidationError, tree: Mapping[str, Any], origins: Mapping[str, str], place: str
) -> list[Problem]:
    found: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail, tree)
        # An array whose members are all wrong is also reported as too short: nothing new.
        if detail["type"] != "too_short" or not any(known[: len(path)] == path for known in found):
            found.setdefault(path, []).append(detail)
    return [_problem(path, details, tree, origins, place) for path, details in found.items()]


def _path(detail: ErrorDetails, tree: Mapping[str, Any]) -> Path:
    """The location without what pydantic adds to it, such as the members of a union."""
    path: list[str | int] = []
    node: Any = tree
    for part in detail["loc"]:
        if not _has(node, part):
            return (*path, part) if detail["type"] == "missing" else tuple(path)
        path.append(part)
        node = node[part]
    return tuple(path)


def _has(node: object, part: str | int) -> bool:
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def _problem(
    path: Path,
    details: Sequence[ErrorDetails],
    tree: Mapping[str, Any],
    origins: Mapping[str, str],
    place: str,
) -> Problem:
    kinds = {detail["type"] for detail in details}
    if "missing" in kinds:
        return Problem(path, "", place, REQUIRED)
    value = _value(tree, path)
    text = "" if isinstance(value, Mapping) else _shown(path, value)
    what = _unknown(path) if "extra_forbidden" in kinds else _allowed(path, details, value)
    return Problem(path, text, _origin(path, value, origins, place), what)


def _value(tree: Mapping[str, Any], path: Path) -> object:
    node: Any = tree
    for part in path:
        node = node[part]
    return node


def _shown(path: Path, value: object) -> str:
    text = shown(path, value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _origin(path: Path, value: object, origins: Mapping[str, str], place: str) -> str:
    """The layer of a value; of a table, the layer of what was set in it last."""
    if not isinstance(value, Mapping | list):
        return origins.get(dotted(path), place)
    inside = [origins.get(dotted((*path, *below[1:]))) for below, _ in leaves({"": value})]
    return next((name for name in reversed(inside) if name), origins.get(dotted(path), place))


def _allowed(path: Path, details: Sequence[ErrorDetails], value: object) -> str:
    messages = dict.fromkeys(_message(path, detail, value) for detail in details)
    return " or ".join(messages).replace(f" or {MUST}", " or ")


def _message(path: Path, detail: ErrorDetails, value: object) -> str:
    kind = detail["type"]
    if kind in ("tuple_type", "list_type"):
        return MUST + _list_form(path, value)
    if kind in ("dict_type", "model_type"):
        return f"{MUST}a table: [{dotted(path)}], and its keys below that"
    if kind == "string_pattern_mismatch":
        return MUST + PATTERNS.get(str(detail.get("ctx", {}).get("pattern")), "written otherwise")
    if kind in FORMS:
        return MUST + FORMS[kind]
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be ", MUST)
    for words, plain in PLAIN.items():
        message = message.replace(words, plain)
    return message[0].lower() + message[1:]


def _list_form(path: Path, value: object) -> str:
    """How a list is written that has this value in it."""
    if isinstance(value, Mapping):
        name = dotted(tuple(part for part in path if isinstance(part, str)))
        return f"a list of tables: [[{name}]], with two brackets"
    return f"a list: [{_shown(path, value)}]"


def _unknown(path: Path) -> str:
    known = sorted(_fields_beside(path))
    near = get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {dotted((*path[:-1], near[0]))}?"
    elsewhere = [dotted((*section, name)) for section, name in _all_fields() if name == path[-1]]
    if elsewhere:
        return f"unknown key here; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key; known here: {', '.join(known)}"


def _fields_beside(path: Path) -> set[str]:
    model = next((model for section, model in _models(Settings) if _fits(section, path)), None)
    return set(model.model_fields) if model else set()


def _fits(section: Path, path: Path) -> bool:
    parent = path[:-1]
    return len(section) == len(parent) and all(
        mine in ("*", theirs) for mine, theirs in zip(section, parent, strict=True)
    )


def _all_fields() -> Iterator[tuple[Path, str]]:
    for section, model in _models(Settings):
        if "*" not in section:
            yield from ((section, name) for name in model.model_fields)


def _models(model: type[BaseModel], section: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Each model of the settings with its path; ``*`` stands for any name or position."""
    yield section, model
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _models(annotation, (*section, name))
            continue
        for inner in get_args(annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _models(inner, _inner_section((*section, name), annotation))


def _inner_section(section: Path, annotation: object) -> Path:
    """A member of a collection adds a name or position to the path; an optional model adds none."""
    is_collection = getattr(annotation, "__origin__", None) in (dict, tuple, list)
    return (*section, "*") if is_collection else section
