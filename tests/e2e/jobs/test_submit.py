"""The job scripts under spark-submit, with the package from a zip only."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from strata.jobs.session.shipping import build_archive
from tests.support.processes.bare_python import make_bare_python
from tests.support.processes.commands import TIMEOUT, Finished, Project
from tests.support.processes.submitting import submit_command, submit_environment

SCRIPTS = ("shard_documents", "deduplicate_documents", "tokenize_documents", "compress_tables")


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with Strata's dependencies, but without Strata."""
    return make_bare_python(tmp_path_factory.mktemp("bare"))


def _submit(project: Project, python: Path, archive: Path, script: str, *more: str) -> Finished:
    done = subprocess.run(
        submit_command(archive, script, "--conf-file", str(project.file), *more),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=project.folder,
        env=submit_environment(python),
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def test_submit_each_job_same_tables(
    project: Project, undisturbed: Project, bare_python: Path, tmp_path: Path
) -> None:
    archive = build_archive(tmp_path / "strata.zip")

    for script in SCRIPTS:
        done = _submit(project, bare_python, archive, script)
        assert done.code == 0, done.err
    rule = 'lifecycle=[{tables=["tokens"], to="cold"}]'
    report = tmp_path / "move.json"
    more = ("--set", rule, "--report", str(report))
    moved = _submit(project, bare_python, archive, "move_files", *more)
    assert moved.code == 0, moved.err

    (stage,) = json.loads(report.read_bytes())["stages"]
    assert stage["rows_in"] == stage["rows_out"] > 0
    assert project.contents() == undisturbed.contents()


def test_submit_wrong_order_conflict_exit_code_4(
    project: Project, bare_python: Path, tmp_path: Path
) -> None:
    archive = build_archive(tmp_path / "strata.zip")
    assert _submit(project, bare_python, archive, "shard_documents").code == 0

    done = _submit(project, bare_python, archive, "tokenize_documents")

    assert done.code == 4
    # In client mode spark-submit sends a script's stderr to its own stdout.
    assert "strata dedup" in done.out
