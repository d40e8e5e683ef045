"""A corpus to retract from: built once, and put back for each test."""

import shutil

import pytest

from tests.support.corpora.retracted import Project, families


@pytest.fixture(scope="session")
def only_project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("retraction"), families())


@pytest.fixture
def project(only_project):
    for name in ("wh", "scratch", "in", "less"):
        shutil.rmtree(only_project.folder / name, ignore_errors=True)
    return only_project
