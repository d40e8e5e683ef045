"""The rooms of the house: which may import which, what each shows, how large each may be.

A room is a folder of a floor; the scripts right in `jobs/` are the room `jobs`, those of `conf/`
the room `conf`. Every import counts, inside functions and under TYPE_CHECKING too.
"""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.unit.project.rooms import ORDER, PUBLIC

ROOT = Path(__file__).parents[3]
FLOORS = ("conf", "storage", "pipelines", "jobs")
MOST_MODULES = 25
MOST_LINES = 600


def module_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(["strata", *(parts[1:] if parts[0] == "conf" else parts)])


MODULES = {
    module_of(file): file
    for floor in FLOORS
    for file in sorted((ROOT / floor).rglob("*.py"))
    if file.name != "__init__.py"
}


def room_of(module):
    """`storage.tables` of `strata.storage.tables.catalog`; a module right in a floor is in that."""
    inner = module.split(".")[1:-1]
    return ".".join(inner) or "conf"


def imported(file):
    """Modules of the package that a file imports anywhere."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in MODULES or node.module in MODULES:
                    yield full if full in MODULES else node.module


IMPORTS = {module: set(imported(file)) - {module} for module, file in MODULES.items()}
ROOMS = defaultdict(set)
for _module in MODULES:
    ROOMS[room_of(_module)].add(_module.rpartition(".")[2])


def test_rooms_are_all_in_the_order():
    assert set(ORDER) == set(ROOMS)
    assert set(PUBLIC) == set(ROOMS) - {"conf", "jobs"}


@pytest.mark.parametrize("floor", ["storage", "pipelines"])
def test_rooms_no_module_lies_outside_of_one(floor):
    assert ROOMS.get(floor, set()) == set()


def test_rooms_have_two_to_25_modules():
    sizes = {room: len(modules) for room, modules in ROOMS.items()}
    assert {room: n for room, n in sizes.items() if not 2 <= n <= MOST_MODULES} == {}


def test_rooms_modules_are_at_most_600_lines():
    lengths = {module: len(file.read_text().splitlines()) for module, file in MODULES.items()}
    assert {module: n for module, n in lengths.items() if n > MOST_LINES} == {}


def test_rooms_import_only_rooms_before_them():
    place = {room: number for number, room in enumerate(ORDER)}
    upward = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if place[room_of(other)] > place[room_of(module)]
    ]
    assert upward == []


def test_rooms_no_circle_of_modules():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("room", sorted(PUBLIC))
def test_rooms_only_public_modules_are_imported_from_outside(room):
    used = {
        other.rpartition(".")[2]
        for module, others in IMPORTS.items()
        for other in others
        if room_of(other) == room != room_of(module)
    }
    assert used == set(PUBLIC[room])


def test_rooms_no_private_name_is_imported():
    found = [
        f"{module} imports {alias.name} of {node.module}"
        for module, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("strata")
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert found == []


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"conf"}))
def test_rooms_say_what_they_are(room):
    folder = ROOT / room.replace(".", "/")
    tree = ast.parse((folder / "__init__.py").read_text())
    assert len(ast.get_docstring(tree) or "") > 20
