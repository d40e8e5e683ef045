"""scripts/make_venv.sh, with a stand-in for the interpreter of the environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "make_venv.sh"
# Answers a call with the exit code that a file of that name holds, and records it.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  *run_uv.py*) name=uv ;;
  *'pip install'*) name=pip ;;
  *find_java\\(\\)*) name=java ;;
  *) exit 0 ;;
esac
echo "$name $PIP_CONSTRAINT ${!#}" >>calls
[ ! -e "$name" ] || exit "$(<"$name")"
"""


@pytest.fixture
def make_venv(tmp_path):
    """Runs the script where some parts have exit codes; returns the code and the calls."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(*, installer: str = "uv", **codes: int) -> tuple[int, list[str]]:
        for name, code in codes.items():
            (tmp_path / name).write_text(str(code))
        done = subprocess.run(
            [tmp_path / "scripts" / SCRIPT.name, "venv"],
            env={**os.environ, "INSTALLER": installer},
            capture_output=True,
            check=False,
        )
        return done.returncode, (tmp_path / "calls").read_text().splitlines()

    return run


INSTALLED = "constraints.txt .[dev,s3]"


def test_make_venv_uv_installs(make_venv):
    code, calls = make_venv()
    assert (code, calls[0]) == (0, f"uv {INSTALLED}")
    assert not any(call.startswith("pip") for call in calls)


def test_make_venv_pip_installs_where_uv_fails(make_venv):
    code, calls = make_venv(uv=2)
    assert (code, calls[:2]) == (0, [f"uv {INSTALLED}", f"pip {INSTALLED}"])


def test_make_venv_uv_can_be_left_out(make_venv):
    code, calls = make_venv(installer="pip")
    assert (code, calls[0]) == (0, f"pip {INSTALLED}")


def test_make_venv_both_fail_is_a_failure(make_venv):
    assert make_venv(uv=2, pip=3) == (3, [f"uv {INSTALLED}", f"pip {INSTALLED}"])


def test_make_venv_without_java_adds_one(make_venv):
    code, calls = make_venv(java=1)
    assert (code, calls[2]) == (0, "uv constraints.txt .[dev,s3,jre]")
