import ast
import re
from pathlib import Path

from strata.storage.layout import properties

ROOT = Path(__file__).parents[4]
NAMES = {name: getattr(properties, name) for name in properties.__all__ if name != "PREFIX"}
# Keys of footers and of the catalog are where the footers and the catalog are written.
OTHERS = frozenset(
    {
        *("strata.codec", "strata.level", "strata.rows-checksum", "strata.file-digest"),
        "strata.storage-options",
    }
)
# Modules are named in dotted words with underscores, and their first word is a floor.
MODULE = re.compile(r"strata\.(storage|pipelines|jobs|errors)(\.|$)|strata\.zip$")


def literals(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_properties_begin_alike_and_none_has_two_names():
    assert all(value.startswith(properties.PREFIX) for value in NAMES.values())
    assert len(set(NAMES.values())) == len(NAMES)


def test_properties_are_spelled_out_in_one_module():
    found = [
        f"{file.relative_to(ROOT)}: {text}"
        for floor in ("conf", "storage", "pipelines", "jobs")
        for file in sorted((ROOT / floor).rglob("*.py"))
        for text in literals(file)
        if re.fullmatch(r"strata\.[a-z.-]+", text) and not MODULE.match(text)
        if text not in OTHERS and file.name != "properties.py"
    ]
    assert found == []


def test_properties_are_used():
    """A name that nothing gives or reads is not one of them."""
    sources = "".join(
        file.read_text()
        for floor in ("storage", "pipelines")
        for file in (ROOT / floor).rglob("*.py")
        if file.name != "properties.py"
    )
    assert [name for name in NAMES if not re.search(rf"\b{name}\b", sources)] == []
