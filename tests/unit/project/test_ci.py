"""The script of CI and the Makefile, with stand-ins for the programs that the lanes run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = ("Makefile", "pyproject.toml", "constraints.txt", ".ci/run", ".ci/lane")
LANES = ("unit", "tables", "stages", "spark", "e2e", "services", "performance")
# python -m pytest tests/LANE: says what the file of the lane says, and ends with its exit code.
PYTEST = """#!/usr/bin/env bash
lane=${3#tests/}
[ ! -e "$lane" ] || source "$lane"
echo "===== 1 passed in 0.01s ($lane) ====="
"""


class Checkout:
    """A folder that has the Makefile and CI's script, and programs that do nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in FILES:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for package in ("storage", "pipelines", "jobs", "scripts", ".venv/bin"):
            (folder / package).mkdir(parents=True)
        (folder / "conf").mkdir()
        (folder / "conf/settings.py").touch()
        for script in ("make_venv", "build_docs"):
            self.program(f"scripts/{script}.sh", "")
        for name in ("ruff", "mypy"):
            self.program(f".venv/bin/{name}", "")
        self.program(".venv/bin/python", PYTEST)
        (folder / ".venv/.ready").touch()

    def program(self, name: str, text: str) -> None:
        """Write a program; without a text it ends at once, and well."""
        file = self.folder / name
        file.write_text(text or "#!/usr/bin/env bash\n")
        file.chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        """What CI runs, without what make and CI tell the programs that they run, such as this."""
        mine = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "LANES")
        return subprocess.run(
            [".ci/run"],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name not in mine},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def summary(done):
    return done.stdout.partition("=== summary\n")[2].splitlines()


def test_ci_all_lanes_pass_ends_with_their_seconds_and_closing_lines(checkout):
    done = checkout.run()
    assert (done.returncode, done.stderr) == (0, "")
    lines = summary(done)
    assert {line.split()[0] for line in lines[: -len(LANES)]} == {
        *("lint", "types", "docs"),
        *(f"test-{lane}" for lane in LANES),
    }
    assert all(re.fullmatch(r"\S+ +\d+ s", line) for line in lines[: -len(LANES)])
    closing = {f"===== 1 passed in 0.01s ({lane}) =====" for lane in LANES}
    assert set(lines[-len(LANES) :]) == closing


@pytest.mark.parametrize("code", [1, 5])
def test_ci_a_lane_that_fails_or_has_no_test_fails_after_the_others(checkout, code):
    (checkout.folder / "tables").write_text(f"exit {code}\n")
    done = checkout.run()
    assert done.returncode == 1
    assert done.stderr.endswith("failed: test-tables\n")
    (told,) = [line for line in summary(done) if "exit code" in line]
    assert re.fullmatch(rf"test-tables +\d+ s  exit code {code}", told)
    assert sum("1 passed" in line for line in summary(done)) == len(LANES) - 1


def test_ci_style_that_fails_fails(checkout):
    checkout.program(".venv/bin/mypy", "#!/usr/bin/env bash\nexit 1\n")
    done = checkout.run()
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "failed: types")


def test_ci_lanes_side_by_side_are_each_printed_whole(checkout):
    for name in ("there", "back"):
        os.mkfifo(checkout.folder / name)
    # Each waits for the other one between its two lines.
    lint = "#!/usr/bin/env bash\necho lint 1; echo >there; read <back; echo lint 2\n"
    checkout.program(".venv/bin/mypy", lint)
    (checkout.folder / "unit").write_text("echo unit 1; read <there; echo unit 2; echo >back\n")
    done = checkout.run()
    assert done.returncode == 0
    said = [line for line in done.stdout.splitlines() if re.fullmatch(r"(lint|unit) \d", line)]
    assert sorted(said) == ["lint 1", "lint 2", "unit 1", "unit 2"]
    assert said[0][:4] == said[1][:4]


def test_ci_speed_is_measured_alone(checkout):
    record = "echo $lane begins >>record; echo $lane ends >>record\n"
    for lane in LANES:
        (checkout.folder / lane).write_text(record)
    assert checkout.run().returncode == 0
    lines = (checkout.folder / "record").read_text().splitlines()
    assert lines[-2:] == ["performance begins", "performance ends"]
