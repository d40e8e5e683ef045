"""Writes the settings tables of the user guide from the settings models.

`python scripts/write_settings_docs.py` after a change of conf/settings.py; a test checks that it
was done. The tables stand between the two marker comments of docs/user-guide.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from strata.settings import Settings
from strata.toml_text import toml_value

GUIDE = Path(__file__).parents[1] / "docs" / "user-guide.md"
BEGIN = "<!-- settings: begin (scripts/write_settings_docs.py writes these tables) -->"
END = "<!-- settings: end -->"
TYPES = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "true or false",
    "object": "table",
    "null": "",
}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
Schema = Mapping[str, Any]


def settings_tables() -> str:
    """The tables, one a section, as Markdown."""
    schema = Settings.model_json_schema()
    return "\n\n".join(_sections("", schema, schema["$defs"]))


def with_tables(guide: str) -> str:
    """The guide with its tables written anew.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = guide.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the guide lacks {BEGIN if not begin else END}")
    return f"{before}{BEGIN}\n\n{settings_tables()}\n\n{END}{after}"


def _sections(header: str, model: Schema, models: Mapping[str, Schema]) -> Iterator[str]:
    yield _table(header, model, models)
    for name, field in model["properties"].items():
        below = _place(header, name, field)
        inner = _model_of(field, models)
        if inner is not None:
            yield from _sections(below, inner, models)


def _place(header: str, name: str, field: Schema) -> str:
    path = f"{header.strip('[]')}.{name}".lstrip(".")
    if field.get("type") == "array":
        return f"[[{path}]]"
    return f"[{path}.NAME]" if field.get("type") == "object" else f"[{path}]"


def _model_of(field: Schema, models: Mapping[str, Schema]) -> Schema | None:
    """The model of a section's values, where the field is a section."""
    places = [field, field.get("items", {}), field.get("additionalProperties", {})]
    places += [*field.get("patternProperties", {}).values(), *field.get("anyOf", ())]
    for place in places:
        reference = place.get("$ref", "") if isinstance(place, Mapping) else ""
        found = models.get(reference.rpartition("/")[2], {})
        if "properties" in found:
            return found
    return None


def _table(header: str, model: Schema, models: Mapping[str, Schema]) -> str:
    title = f"`{header}`" if header else "Top level"
    lines = [
        f"### {title}",
        "",
        "| key | value | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    required = model.get("required", ())
    for name, field in model["properties"].items():
        cells = (
            f"`{name}`",
            _type(field, models),
            "required" if name in required else _default(field, models),
            field.get("description") or f"See `{_place(header, name, field)}`.",
        )
        lines.append(f"| {' | '.join(_cell(text) for text in cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _type(field: Schema, models: Mapping[str, Schema]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(filter(None, (_type(f, models) for f in field["anyOf"]))))
    if "$ref" in field:
        return _type(models[field["$ref"].rpartition("/")[2]], models)
    if "enum" in field:
        return ", ".join(f"`{toml_value(value)}`" for value in field["enum"])
    if "prefixItems" in field:
        return f"[{', '.join(_type(item, models) for item in field['prefixItems'])}]"
    if field["type"] == "array":
        return f"list of {_type(field['items'], models)}"
    bounds = [f"{sign} {_number(field[name])}" for name, sign in BOUNDS.items() if name in field]
    return " ".join([TYPES[field["type"]], ", ".join(bounds)]).strip()


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else str(value)


def _default(field: Schema, models: Mapping[str, Schema]) -> str:
    default = field.get("default")
    if default is None or (default == {} and field.get("type") == "object"):
        return "none"
    if _model_of(field, models) is not None:
        return "as below"
    return f"`{toml_value(default)}`"


def main() -> int:
    """Write the tables into the guide."""
    guide = GUIDE.read_text("utf-8")
    written = with_tables(guide)
    if written != guide:
        GUIDE.write_text(written, "utf-8")
        sys.stdout.write(f"wrote the settings tables of {GUIDE.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
