"""scripts/run_uv.py, with a stand-in for uv that says what it was called with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "run_uv.py"
UV = """#!/usr/bin/env bash
[ "$1" != --version ] || exit 0
echo "$@"
env | grep -E '^(UV_|SSL_|ALL_PROXY=)' | sort
exit 7
"""


@pytest.fixture
def run_uv(tmp_path):
    """Runs it with a configuration file of pip and variables; returns what ended."""
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(UV)
    uv.chmod(0o755)

    def run(config: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "pip.conf").write_text(config)
        # pip must not find what this machine sets it to, so it gets another home, and no PIP_*.
        foreign = ("PIP_", "UV_", "SSL_", "ALL_PROXY", "XDG_CONFIG")
        mine = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        places = {
            "HOME": str(tmp_path),
            "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
            "PATH": f"{uv.parent}:{os.environ['PATH']}",
        }
        # Of the files that pip reads, this one is the strongest.
        given = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), **variables}
        command = [sys.executable, str(SCRIPT), "pip", "install", "x y"]
        return subprocess.run(
            command, env=mine | places | given, capture_output=True, text=True, check=False
        )

    return run


def variables(done):
    assert done.stderr == ""
    assert done.returncode == 7, "the exit code is that of uv"
    lines = done.stdout.splitlines()
    assert lines[0] == "pip install x y"
    return dict(line.split("=", 1) for line in lines[1:])


def test_run_uv_indexes_and_files_of_pip_are_those_of_uv(run_uv):
    found = variables(
        run_uv(
            "[global]\nindex-url = https://one.test/simple\n"
            "extra-index-url =\n  https://two.test/simple\n  file:///three\n"
            "find-links = wheels more\ncert = ca.pem\ntrusted-host = a.test b.test\n"
            "proxy = http://proxy.test:1\nprogress-bar = off\n"
        )
    )
    expected = {
        "UV_DEFAULT_INDEX": "https://one.test/simple",
        "UV_INDEX": "https://two.test/simple file:///three",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "wheels,more",
        "UV_INSECURE_HOST": "a.test b.test",
        "SSL_CERT_FILE": "ca.pem",
        "ALL_PROXY": "http://proxy.test:1",
    }
    assert expected.items() <= found.items()


def test_run_uv_variable_of_pip_outdoes_its_files(run_uv):
    config = "[global]\nindex-url = https://one.test\n[install]\nindex-url = https://two.test\n"
    assert variables(run_uv(config))["UV_DEFAULT_INDEX"] == "https://two.test"
    found = variables(run_uv(config, PIP_INDEX_URL="https://three.test"))
    assert found["UV_DEFAULT_INDEX"] == "https://three.test"


def test_run_uv_variable_of_uv_holds(run_uv):
    found = variables(run_uv(PIP_INDEX_URL="https://a.test", UV_DEFAULT_INDEX="https://b.test"))
    assert found["UV_DEFAULT_INDEX"] == "https://b.test"


def test_run_uv_setting_of_pip_without_an_equal_leaves_it_to_pip(run_uv):
    done = run_uv(PIP_NO_BINARY="numpy")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "uv is not used: pip is set to no-binary\n"
