import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FLOORS = ("conf", "storage", "pipelines", "jobs")
PACKAGES = {"strata.storage": 1, "strata.pipelines": 2, "strata.jobs": 3}
FILES = [file for floor in FLOORS for file in sorted((ROOT / floor).rglob("*.py"))]
# `import strata` shows the public API, which is of the highest floor, and looks it up when used.
PUBLIC_NAMES = ROOT / "conf" / "__init__.py"
SPARK_FREE = ("conf", "storage", "pipelines/kernels", "pipelines/readers")


def imports(tree):
    """Dotted names that a module imports anywhere, and how deep a relative import goes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level
            # `from strata import storage` reaches a floor too.
            yield from ((f"{node.module}.{alias.name}", node.level) for alias in node.names)


def floor_of(name):
    if name != "strata" and not name.startswith("strata."):
        return 0
    return next((f for package, f in PACKAGES.items() if f"{name}.".startswith(f"{package}.")), 0)


def wrong(file, is_wrong):
    place = file.relative_to(ROOT)
    tree = ast.parse(file.read_text())
    return [f"{place} imports {name}" for name, level in imports(tree) if is_wrong(name, level)]


@pytest.fixture(scope="module", autouse=True)
def _there_are_modules():
    assert len(FILES) > 20


def test_floors_imports_point_down_only():
    found = []
    for file in FILES:
        if file == PUBLIC_NAMES:
            continue
        floor = FLOORS.index(file.relative_to(ROOT).parts[0])
        found += wrong(file, lambda name, _, floor=floor: floor_of(name) > floor)
    assert found == []


def test_floors_public_names_come_from_one_module_above():
    found = wrong(PUBLIC_NAMES, lambda name, _: floor_of(name) > 0)
    named = "conf/__init__.py imports strata.jobs.corpus"
    assert {each for each in found if not each.startswith(f"{named}.")} == {named}


def test_floors_imports_are_absolute():
    assert [each for file in FILES for each in wrong(file, lambda _, level: level > 0)] == []


def test_floors_imports_name_the_package_not_the_folder():
    folders = tuple(f"{folder}." for folder in FLOORS)
    found = [e for file in FILES for e in wrong(file, lambda n, _: f"{n}.".startswith(folders))]
    assert found == []


@pytest.mark.parametrize("folder", SPARK_FREE)
def test_floors_below_the_wiring_know_no_spark(folder):
    files = [file for file in FILES if file.is_relative_to(ROOT / folder)]
    found = [e for file in files for e in wrong(file, lambda n, _: n.split(".")[0] == "pyspark")]
    assert found == []


def test_floors_tests_of_the_package_are_outside_it():
    assert [file for file in FILES if file.name.startswith("test_")] == []


def test_conf_imports_no_heavy_library():
    names = [f"strata.{file.stem}" for file in FILES if file.parent == ROOT / "conf"]
    code = f"import sys, {', '.join(names).replace('strata.__init__', 'strata')}\n"
    code += (
        "print(sorted({'pyarrow', 'numpy', 'pyspark', 'pyiceberg', 'fsspec'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
