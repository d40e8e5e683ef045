"""Projects to run commands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes.commands import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of its own for a test."""
    return Project(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after one undisturbed run; read it only."""
    made = Project(tmp_path_factory.mktemp("undisturbed"))
    made.run_all()
    return made
