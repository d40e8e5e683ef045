"""The one place that builds a SparkSession.

In local mode Strata decides (the settings' ``[spark]`` section first). Under spark-submit the
operator decides: only SQL defaults that were not given are set, at run time, because a builder's
configuration would silently override the flags of spark-submit.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from strata.errors import MachineError
from strata.jobs.session.cache_folder import cached_file
from strata.jobs.session.class_data import ClassData, class_data_of
from strata.jobs.session.forwarding import forward_signals, keep_handlers
from strata.jobs.session.java import Java, find_java
from strata.jobs.session.selection import cores_of, own_spark, refuse_blocking, shadowing
from strata.jobs.session.shipping import build_archive
from strata.jobs.session.signals import call_no_more, call_on_signal
from strata.jobs.session.warm_daemon import DAEMON_MODULE, WarmDaemon
from strata.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


__all__ = ["LazySession", "local_master", "under_spark_submit"]

# Plain local[N] fails at the first failed task; this is the default of clusters.
MAX_FAILURES = 4
# After a signal: how long a start in progress, the end of the tasks and that of the JVM may take.
# Schedulers kill what has not ended after 10 to 30 seconds.
START_SECONDS = 2.0
CANCEL_SECONDS = 3.0
END_SECONDS = 5.0
# Spark's own default logs host names and native libraries before any flag can stop it; and a
# gateway without a level of its own sets that of all to "warn".
LOGGING = """\
rootLogger.level = {level}
rootLogger.appenderRef.stderr.ref = stderr
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = {level}
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
"""
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
LOCAL_DEFAULTS: Mapping[str, str] = {
    "spark.app.name": "strata",
    # Kernels and tokenizers keep their state in the worker, which must live as long as the job.
    "spark.python.worker.reuse": "true",
    # Otherwise SQL and RDD jobs have separate workers, each with its own start-up time and memory.
    "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "false",
}
# C2 compiles only code ten times as hot as by Java's default: a short run ends before the effort
# pays off (4 s of 22 s of processor time), and a long one gets there soon enough.
COMPILER = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
)
# By name, so that nothing is imported to tell of them.
START_FAILURES = frozenset({"PySparkException", "Py4JError", "OSError"})
DAEMON = "spark.python.daemon.module"
# Executors of a cluster must reach the driver; those of local mode are the driver.
LOOPBACK: Mapping[str, str] = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
SQL_DEFAULTS: Mapping[str, str] = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}


def under_spark_submit() -> bool:
    """Whether spark-submit started this process."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def local_master(master: str) -> str:
    """A local master that retries failed tasks: ``local[2]`` becomes ``local[2,4]``."""
    if master == "local":
        return f"local[1,{MAX_FAILURES}]"
    match = re.fullmatch(r"local\[(\d+|\*)\]", master)
    return f"local[{match[1]},{MAX_FAILURES}]" if match else master


class LazySession:
    """A Spark session that starts when it is first needed, and is stopped once.

    Where Spark is already running in this process, as in a notebook, its owner decides: the tasks
    run there, with SQL settings of their own, and nothing is stopped. Master, memory and everything
    else that only takes effect at start-up stay as they are.

    ``seconds`` is how long callers waited for its start; 0 while no JVM was needed. ``waiting`` is
    True while they do.
    """

    def __init__(
        self, settings: Settings, master: str | None, run_id: str, log_level: str = "error"
    ) -> None:
        self._settings = settings
        self._master = master
        self._run_id = run_id
        self._log_level = log_level
        self._starting: Future[SparkSession] | None = None
        self._session: SparkSession | None = None
        self._class_data: ClassData | None = None
        self._daemon: WarmDaemon | None = None
        self._is_shared = False
        self._parallelism = 0
        self._is_interrupted = False
        self.waiting = False
        self.seconds = 0.0

    @property
    def started(self) -> bool:
        """Whether a JVM was needed."""
        return self._session is not None

    def begin(self) -> None:
        """Start in the background, while the driver does something else.

        An error is raised by the first call that needs the session. Under spark-submit the JVM is
        already running, and nothing is gained.
        """
        if self._starting is None and not under_spark_submit():
            call_on_signal(self._interrupt)
            self._starting = Future()
            # A daemon thread does not keep a command that fails meanwhile from ending.
            threading.Thread(
                target=self._start_in_background, args=(self._starting,), daemon=True
            ).start()

    def __call__(self) -> SparkSession:
        """The session; starts it at the first call.

        Raises:
            MachineError: Spark cannot start here.
        """
        if self._session is None:
            began = time.monotonic()
            # So that `stop` knows about a start even if waiting for it was interrupted.
            self.begin()
            self.waiting = True
            try:
                self._session = self._starting.result() if self._starting else self._start()
            finally:
                self.waiting = False
            call_on_signal(self._interrupt)
            self._parallelism = self._session.sparkContext.defaultParallelism
            self.seconds = time.monotonic() - began
        return self._session

    @property
    def parallelism(self) -> int:
        """Tasks that can run at once; 0 while no JVM was needed."""
        return self._parallelism if self._session else 0

    def stop(self) -> None:
        """Stop the session, if it was started, after waiting for a start in progress."""
        starting, session = self._starting, self._session
        self._session = self._starting = None
        # A JVM left running would still write to stderr, after the line that reports a failure.
        if session is None and starting is not None:
            session = self._started_meanwhile(starting)
        try:
            if session is not None and not self._is_shared:
                # A JVM that has died has stopped too, which PySpark warns of.
                with suppress(Exception), warnings.catch_warnings(action="ignore"):
                    session.stop()
                if self._is_interrupted:
                    _end_jvm(session)
        finally:
            call_no_more(self._interrupt)
            if self._daemon is not None:
                self._daemon.stop()
                self._daemon = None

    def _started_meanwhile(self, starting: Future[SparkSession]) -> SparkSession | None:
        try:
            seconds = START_SECONDS if self._is_interrupted else None
            return None if starting.exception(seconds) else starting.result()
        except TimeoutError:
            # The JVM ends with this process, which is the only one that has its input open.
            return None

    def _interrupt(self) -> None:
        """End what Spark is doing; called on a signal, in the middle of whatever the driver did."""
        self._is_interrupted = True
        if self._session is None or self._is_shared:
            return
        context = self._session.sparkContext
        # The answer to the call that was interrupted must not be taken for that to the next one.
        gateway = context._gateway
        if gateway and (connection := gateway._gateway_client.get_thread_connection()):
            connection.close()

        def cancel() -> None:
            # Tasks that are cut off would tell of it, each with a stack trace.
            with suppress(Exception):
                context.setLogLevel("OFF")
                context.cancelAllJobs()

        thread = threading.Thread(target=cancel, daemon=True)
        thread.start()
        thread.join(CANCEL_SECONDS)

    def keep_class_data(self) -> None:
        """Build class data for the next start, if this one had to do without."""
        if self._class_data is not None:
            self._class_data.build_in_background()

    def _start_in_background(self, starting: Future[SparkSession]) -> None:
        try:
            starting.set_result(self._start())
        except BaseException as error:
            starting.set_exception(error)

    def _start(self) -> SparkSession:
        running = _running_session()
        if running is not None:
            self._is_shared = True
            return _beside(running, self._settings)
        if under_spark_submit():
            return _submitted(self._run_id)
        properties = _local_properties(self._settings, self._master, self._run_id, self._log_level)
        if properties.get(DAEMON) == DAEMON_MODULE:
            self._daemon = WarmDaemon.start(properties)
        if shadow := shadowing():
            raise shadow
        java = prepare_environment()
        if not properties["spark.master"].startswith("local"):
            return _build(properties)
        refuse_blocking(properties)
        data = class_data_of(java, properties[JAVA_OPTIONS])
        options = data.options() if data is not None else []
        properties[JAVA_OPTIONS] = " ".join([*options, properties[JAVA_OPTIONS]])
        with own_spark():
            session = _build(properties)
        if data is not None and not (options and data.is_mapped(_jvm(session))):
            self._class_data = data
        return session


def _end_jvm(session: SparkSession) -> None:
    """Wait until the JVM of this process has ended, which it does when its input is closed."""
    gateway = session.sparkContext._gateway
    process = getattr(gateway, "proc", None)
    if process is None:
        return
    process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _jvm(session: SparkSession) -> int:
    # The script that Python starts becomes the JVM: their process is the same.
    gateway = session.sparkContext._gateway
    return int(gateway.proc.pid) if gateway is not None else os.getpid()


def _local_properties(
    settings: Settings, master: str | None, run_id: str, log_level: str
) -> dict[str, str]:
    given = {name: _text(value) for name, value in settings.spark.items()}
    properties = {**LOCAL_DEFAULTS, **SQL_DEFAULTS, "spark.app.name": f"strata {run_id}", **given}
    properties["spark.master"] = local_master(
        master or given.get("spark.master") or os.environ.get("STRATA_MASTER") or "local[*]"
    )
    parallel = 2 * cores_of(properties["spark.master"])
    properties.setdefault("spark.sql.shuffle.partitions", str(max(2, parallel)))
    if properties["spark.master"].startswith("local"):
        properties = {**LOOPBACK, **properties}
        # Another interpreter may lack this package, which tasks report better than a daemon does.
        if os.environ.get("PYSPARK_PYTHON", sys.executable) == sys.executable:
            properties.setdefault(DAEMON, DAEMON_MODULE)
        if sys.platform == "linux":
            # Arrow's default allocator returns large buffers to the system, and pays for new pages.
            properties.setdefault("spark.executorEnv.ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    properties[JAVA_OPTIONS] = _java_options(properties.get(JAVA_OPTIONS, ""), log_level)
    return properties


def _java_options(given: str, log_level: str) -> str:
    """The JVM's options; the user's come last, where they take precedence."""
    options = [*COMPILER, given]
    if "log4j2.configurationFile" not in given:
        text = LOGGING.replace("{level}", log_level)
        logging = cached_file(f"log4j2-{log_level}.properties", text).as_uri()
        options.insert(0, f"-Dlog4j2.configurationFile={logging}")
    return " ".join(options).strip()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def prepare_environment() -> Java:
    """Point Spark at a Java that works and workers at this very interpreter.

    Returns:
        The Java.

    Raises:
        MachineError: there is no usable Java.
    """
    java = find_java()
    os.environ["JAVA_HOME"] = str(java.home)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    return java


def _running_session() -> SparkSession | None:
    """The session that somebody else has started in this process."""
    # Whoever started it has imported the module; importing it here would take half a second.
    pyspark = sys.modules.get("pyspark")
    if pyspark is None or pyspark.SparkContext._active_spark_context is None:
        return None
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def _beside(running: SparkSession, settings: Settings) -> SparkSession:
    """A session of the same Spark whose SQL settings are its own."""
    session = running.newSession()
    given = {name: _text(value) for name, value in settings.spark.items()}
    for name, value in {**SQL_DEFAULTS, **given}.items():
        if session.conf.isModifiable(name):
            session.conf.set(name, value)
    _ship(session)
    return session


def _build(properties: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    if properties["spark.master"].startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder
    for name, value in properties.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        if not START_FAILURES & {kind.__name__ for kind in type(error).__mro__}:
            raise
        raise MachineError(
            f"Spark did not start with master {properties['spark.master']}: {_cause(error)}",
            hint="`strata doctor FILE` says what the machine lacks; what Spark itself wrote is "
            "above, and the properties of [spark] are the first suspects",
        ) from error
    _ship(session)
    return session


def _cause(error: Exception) -> str:
    """What an error says, without the stack of Java."""
    java = getattr(error, "java_exception", None)
    return str(java.toString()) if java is not None else str(error)


def _submitted(run_id: str) -> SparkSession:
    from pyspark.sql import SparkSession

    with keep_handlers():
        session = SparkSession.builder.appName(f"strata {run_id}").getOrCreate()
    forward_signals(session)
    given = dict(session.sparkContext.getConf().getAll())
    for name, value in SQL_DEFAULTS.items():
        if name not in given:
            session.conf.set(name, value)
    return session


def _ship(session: SparkSession) -> None:
    # Workers of a cluster need the package; those of local mode share this installation.
    if not str(session.sparkContext.master).startswith("local"):
        session.sparkContext.addPyFile(str(build_archive()))
