"""The tests themselves: where they stand, and what they may reach of the package."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
LANES = ("unit", "tables", "stages", "spark", "services", "e2e")
FLOORS = ("conf", "storage", "pipelines", "jobs")
# Folders of a lane whose tests are of something beside the package.
BESIDE = {"project", "benchmarks", "examples", "support"}
FILES = sorted(TESTS.rglob("*.py"))
# Names with an underscore that tests patch, as file, target and name: each with its reason.
PRIVATE_PATCHES: dict[tuple[str, str, str], str] = {}


def named(file):
    return str(file.relative_to(ROOT))


def patches(tree):
    """Arguments of the calls of `setattr`, and of `monkeypatch.setattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in ("setattr", "delattr"):
                yield node.args


def text_of(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def private_patches(file, tree):
    for target, *rest in patches(tree):
        name = text_of(rest[0]) if rest else ""
        if name.startswith("_") and not name.startswith("__"):
            yield named(file), ast.unparse(target), name


def string_targets(tree):
    """Targets in the package that are named by a string, which no tool follows."""
    texts = (text_of(arguments[0]) for arguments in patches(tree) if arguments)
    return [text for text in texts if text.startswith(("strata.", "tests."))]


def is_of_test_modules(module):
    """Whether a test imports what only pytest should: another test, or a conftest."""
    parts = module.split(".")
    return parts[0] == "tests" and (parts[-1] == "conftest" or parts[-1].startswith("test_"))


def imports_of_tests(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if is_of_test_modules(each.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (node.module, *(f"{node.module}.{each.name}" for each in node.names))
            yield from (name for name in names if is_of_test_modules(name))


TREES = {file: ast.parse(file.read_text()) for file in FILES}


def test_patches_are_of_public_names_but_for_those_with_a_reason():
    found = {each for file, tree in TREES.items() for each in private_patches(file, tree)}

    assert found == set(PRIVATE_PATCHES)


def test_patches_name_their_targets_as_objects():
    found = {named(file): string_targets(tree) for file, tree in TREES.items()}

    assert {file: targets for file, targets in found.items() if targets} == {}


def test_folders_of_tests_are_those_of_the_package():
    folders = {
        file.parent.relative_to(TESTS / lane)
        for lane in LANES
        for file in (TESTS / lane).rglob("test_*.py")
    }
    of_rooms = {folder for folder in folders if folder.parts[:1] and folder.parts[0] not in BESIDE}

    assert [str(folder) for folder in sorted(of_rooms) if folder.parts[0] not in FLOORS] == []
    assert [str(folder) for folder in sorted(of_rooms) if not (ROOT / folder).is_dir()] == []


def test_tests_share_no_code_but_by_support():
    found = {named(file): list(imports_of_tests(tree)) for file, tree in TREES.items()}

    assert {file: modules for file, modules in found.items() if modules} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("monkeypatch.setattr(module, '_limit', 1)", [("module", "_limit")]),
        ("setattr(module, '_limit', 1)", [("module", "_limit")]),
        ("patch.setattr(module.Class, '_call', f)", [("module.Class", "_call")]),
        ("monkeypatch.setattr(module, 'LIMIT', 1)", []),
    ],
)
def test_private_patch_is_found(source, found):
    patched = private_patches(TESTS / "test_x.py", ast.parse(source))

    assert [(target, name) for _, target, name in patched] == found


def test_target_named_by_a_string_is_found():
    tree = ast.parse("monkeypatch.setattr('strata.storage.reading.scan.PREFETCH', 0)")

    assert string_targets(tree) == ["strata.storage.reading.scan.PREFETCH"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from tests.unit.conf.test_settings import x", ["tests.unit.conf.test_settings"]),
        ("from tests.e2e import conftest", ["tests.e2e.conftest"]),
        ("from tests.unit.project.rooms import ORDER", []),
        ("from tests.support.rows import rows_of", []),
    ],
)
def test_import_of_a_test_module_is_found(source, found):
    assert list(imports_of_tests(ast.parse(source))) == found
