"""The DAG of the examples, beside a stand-in for Airflow that has what it imports."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from strata.jobs.cli import main

EXAMPLE = Path(__file__).parents[3] / "examples" / "airflow_dag.py"


class AirflowError(Exception):
    """Is tried again."""


class FailError(AirflowError):
    """Is not."""


class Operator:
    def __init__(self, **options):
        self.options = options
        DAG.tasks.append(self)


class DAG:
    tasks = []  # noqa: RUF012 (of the one DAG of the file)

    def __init__(self, **options):
        self.options = options

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Hook:
    """As that of Airflow: stderr is a part of the output, of which the last line is told."""

    def run_command(self, command, cwd):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd
        )
        lines = done.stdout.splitlines() or [""]
        return SimpleNamespace(exit_code=done.returncode, output=lines[-1])


@pytest.fixture
def dag(monkeypatch, tmp_path):
    """The module of the example."""
    contents = {
        "airflow": {},
        "airflow.exceptions": {"AirflowException": AirflowError, "AirflowFailException": FailError},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.hooks": {},
        "airflow.providers.standard.hooks.subprocess": {"SubprocessHook": Hook},
        "airflow.sdk": {"DAG": DAG, "BaseOperator": Operator},
    }
    for name, facts in contents.items():
        module = ModuleType(name)
        vars(module).update(facts)
        monkeypatch.setitem(sys.modules, name, module)
    DAG.tasks.clear()
    spec = importlib.util.spec_from_file_location("airflow_dag", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.PROJECT = str(tmp_path)
    module.STRATA = str(tmp_path / "strata")
    return module


def command_that(dag, line, code):
    """Puts a command in the place of Strata's."""
    script = f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:], flush=True)\n"
    script += f"sys.stderr.write({line!r})\nsys.exit({code})\n"
    Path(dag.STRATA).write_text(script)
    Path(dag.STRATA).chmod(0o755)


def test_dag_has_one_task_that_runs_strata(dag):
    (task,) = DAG.tasks
    command_that(dag, "", 0)

    assert task.execute({}) is None
    assert {"run_id", "ti.try_number"} <= set(task.name.split())
    assert "ts" not in task.name.split()


@pytest.mark.parametrize(
    ("code", "retryable", "error"),
    [
        (75, True, AirflowError),
        (4, True, AirflowError),
        (4, False, FailError),
        (3, False, FailError),
        (2, False, FailError),
    ],
)
def test_dag_tries_again_only_what_is_retryable(dag, code, retryable, error):
    (task,) = DAG.tasks
    command_that(dag, json.dumps({"code": code, "retryable": retryable}) + "\n", code)

    with pytest.raises(AirflowError) as failed:
        task.execute({})
    assert failed.type is error


def test_dag_fails_for_good_without_a_line_that_says_otherwise(dag):
    (task,) = DAG.tasks
    command_that(dag, "Killed\n", 137)

    with pytest.raises(FailError):
        task.execute({})


def test_dag_gives_the_command_line_flags_that_it_has(dag, monkeypatch, tmp_path, capfd):
    (task,) = DAG.tasks
    given = []

    def run_command(_, command, **options):
        given.extend(command)
        return SimpleNamespace(exit_code=0, output="", options=options)

    monkeypatch.setattr(Hook, "run_command", run_command)
    monkeypatch.setattr(dag, "SETTINGS", str(tmp_path / "missing.toml"))
    task.name = "airflow-manual__2026-12-01T000000.5_0000-1"
    task.execute({})

    assert main(given[1:]) == 2
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert "missing.toml" in line["reason"]
    assert line["retryable"] is False
