"""Which properties a local session gets, and when Spark is started at all."""

import pytest

from strata.jobs.runtime.session import LazySession, _local_properties, local_master
from strata.settings import Settings


def settings_of(**spark):
    return Settings(corpus="c", inputs=[{"path": "x"}], spark=spark)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("local", "local[1,4]"),
        ("local[3]", "local[3,4]"),
        ("local[*]", "local[*,4]"),
        ("local[2,1]", "local[2,1]"),
        ("spark://host:7077", "spark://host:7077"),
        ("yarn", "yarn"),
    ],
)
def test_local_master_retries_failed_tasks(given, expected):
    assert local_master(given) == expected


def properties_of(master, level="error", **spark):
    return _local_properties(settings_of(**spark), master, "run", level)


def test_properties_settings_win_over_defaults():
    given = properties_of("local[2]", **{"spark.sql.shuffle.partitions": 9, "spark.x": True})

    assert given["spark.sql.shuffle.partitions"] == "9"
    assert given["spark.x"] == "true"


def test_properties_partitions_follow_the_cores():
    assert properties_of("local[3]")["spark.sql.shuffle.partitions"] == "6"


def test_properties_loopback_only_in_local_mode():
    assert properties_of("local[2]")["spark.driver.host"] == "127.0.0.1"
    assert "spark.driver.host" not in properties_of("spark://host:7077")


def test_properties_java_options_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = "spark.driver.extraJavaOptions"

    options = properties_of("local[2]", "warn", **{name: "-Dmine=1"})[name]

    assert options.endswith("-Dmine=1")
    assert "rootLogger.level = warn" in (tmp_path / "strata/log4j2-warn.properties").read_text()


def test_lazy_session_stop_without_start_starts_nothing():
    session = LazySession(settings_of(), "local[1]", "run")
    session.stop()

    assert not session.started
    assert session.parallelism == 0
