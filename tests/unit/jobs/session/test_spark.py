"""Which properties a local session gets, and when Spark is started at all."""

import signal
import sys
import threading
from types import SimpleNamespace

import pytest
from pyspark.sql import SparkSession

from strata.errors import MachineError
from strata.jobs.session import spark as session_module
from strata.jobs.session.java import Java, JavaKind, JavaVersion
from strata.jobs.session.spark import LazySession, _local_properties, local_master
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


def test_properties_unwritable_cache_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    with pytest.raises(MachineError) as caught:
        properties_of("local[2]")

    assert "XDG_CACHE_HOME" in caught.value.hint


@pytest.mark.parametrize(
    ("master", "python", "daemon"),
    [
        ("local[2]", sys.executable, "strata.jobs.session.worker_daemon"),
        ("local[2]", "another/python", None),
        ("spark://host:7077", sys.executable, None),
    ],
)
def test_properties_daemon_only_where_it_can_be_imported(monkeypatch, master, python, daemon):
    monkeypatch.setenv("PYSPARK_PYTHON", python)

    assert properties_of(master).get("spark.python.daemon.module") == daemon


@pytest.fixture
def javaless(monkeypatch):
    """A session on a machine without a Java."""

    def no_java():
        raise MachineError("there is no Java", hint="")

    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.setattr(session_module, "find_java", no_java)
    return LazySession(settings_of(), "local[1]", "run")


def test_lazy_session_begun_tells_its_failure_to_who_asks(javaless):
    javaless.begin()

    with pytest.raises(MachineError, match="no Java"):
        javaless()
    javaless.stop()
    assert not javaless.started


def test_properties_local_workers_use_jemalloc_unless_told_otherwise():
    name = "spark.executorEnv.ARROW_DEFAULT_MEMORY_POOL"
    own = properties_of("local[2]", **{name: "system"})

    assert own[name] == "system"
    if sys.platform == "linux":
        assert properties_of("local[2]")[name] == "jemalloc"
    assert name not in properties_of("spark://host:7077")


def test_lazy_session_begun_in_vain_stops_in_silence(javaless):
    javaless.begin()

    javaless.stop()

    assert not javaless.started


def test_lazy_session_under_spark_submit_begins_nothing(monkeypatch):
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    monkeypatch.setattr(session_module, "find_java", lambda: pytest.fail("looked for a Java"))
    session = LazySession(settings_of(), None, "run")

    session.begin()
    session.stop()

    assert not session.started


class StoppableSession:
    sparkContext = SimpleNamespace(master="local[1]")  # noqa: N815

    def __init__(self):
        self.stopped = False

    def stop(self):
        self.stopped = True


@pytest.fixture
def interruptible():
    """As Ctrl-C is in a terminal: a shell's background jobs, and so CI's, ignore it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("interruptible")
def test_lazy_session_interrupted_while_it_starts_is_stopped(monkeypatch, tmp_path):
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    java = Java(tmp_path, JavaVersion(21), JavaKind.SYSTEM)
    spark, interrupted = StoppableSession(), threading.Event()

    def start(_):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        interrupted.wait(10)
        return spark

    monkeypatch.setattr(session_module, "find_java", lambda: java)
    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", start)
    session = LazySession(settings_of(), "spark://host:7077", "run")

    with pytest.raises(KeyboardInterrupt):
        session()
    interrupted.set()
    session.stop()

    assert spark.stopped
