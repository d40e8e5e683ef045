import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from strata.errors import MachineError
from strata.jobs.session.selection import (
    own_spark,
    refuse_blocking,
    shadowed_packages,
    shadowing,
    unused_variables,
)

FOREIGN = {
    "SPARK_HOME": "/opt/spark",
    "SPARK_CONF_DIR": "/etc/spark",
    "SPARK_REMOTE": "sc://host:15002",
    "SPARK_CONNECT_MODE_ENABLED": "1",
    "SPARK_API_MODE": "connect",
    "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    "HADOOP_CONF_DIR": "/etc/hadoop",
}


@pytest.fixture
def foreign(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)


def test_own_spark_is_the_installed_one_without_defaults(foreign):
    with own_spark():
        assert Path(os.environ["SPARK_HOME"]) == Path(pyspark.__file__).parent
        files = list(Path(os.environ["SPARK_CONF_DIR"]).iterdir())
        assert {file.read_text() for file in files} == {"<configuration/>\n"}
        assert "core-site.xml" in {file.name for file in files}
        assert "PYSPARK_SUBMIT_ARGS" not in os.environ
        # Clients of HDFS in Python read it.
        assert os.environ["HADOOP_CONF_DIR"] == FOREIGN["HADOOP_CONF_DIR"]
    assert os.environ["SPARK_HOME"] == FOREIGN["SPARK_HOME"]
    assert os.environ["PYSPARK_SUBMIT_ARGS"] == FOREIGN["PYSPARK_SUBMIT_ARGS"]
    assert not {"SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE"} & set(os.environ)


def test_variables_that_are_not_used_are_listed(foreign):
    assert set(unused_variables()) == set(FOREIGN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.remote", "sc://host:15002"),
        ("spark.api.mode", "connect"),
        ("spark.task.cpus", "3"),
        ("spark.task.cpus", "none"),
        ("spark.eventLog.dir", "/no/such/folder"),
        ("spark.eventLog.dir", "file:/no/such/folder"),
        ("spark.driver.memory", "100m"),
        ("spark.driver.memory", "2 gigabytes"),
    ],
)
def test_properties_with_which_nothing_starts_are_named(name, value):
    given = {"spark.master": "local[2,4]", "spark.eventLog.enabled": "true", name: value}
    given.setdefault("spark.eventLog.dir", "hdfs://host/events")
    with pytest.raises(MachineError) as caught:
        refuse_blocking(given)
    assert f"{name} = {value}" in str(caught.value)


def test_properties_that_work_are_taken(tmp_path):
    refuse_blocking({"spark.master": "local[2,4]", "spark.task.cpus": "2"})
    refuse_blocking({"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file:{tmp_path}"})
    refuse_blocking({"spark.eventLog.dir": "/no/such/folder"})


def test_path_with_another_copy_of_a_package_is_named(tmp_path):
    (tmp_path / "msgspec.py").write_text("")
    program = (
        "from strata.jobs.session.selection import shadowed_packages as s, shadowing as e\n"
        "print(s(), e().reason)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}/nowhere"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert f"{{'msgspec': '{tmp_path}'}}" in told
    assert f"msgspec in {tmp_path}" in told


def test_path_with_what_is_installed_there_is_fine(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(pyspark.__file__).parents[1]))
    assert shadowed_packages() == {}
    assert shadowing() is None
