"""What the workers of local mode find imported when they are forked."""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec

import pytest

from strata.jobs.session.warm_daemon import WarmDaemon
from strata.jobs.session.worker_daemon import PRELOADED, WAITING, without_spark_archives

PROBE = """
import json, os, sys
from strata.jobs.session.worker_daemon import PRELOADED, preload
preload()
tasks = "/proc/self/task"
if os.path.isdir(tasks):
    names = [open(f"{tasks}/{t}/comm").read().strip() for t in os.listdir(tasks)]
else:
    import threading
    names = [thread.name for thread in threading.enumerate()]
child = os.fork()
if child == 0:
    import pyarrow as pa, pyarrow.compute as pc
    total = pc.sum(pa.chunked_array([list(range(1000))] * 8)).as_py()
    os._exit(0 if total == 8 * 499500 else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
missing = [name for name in PRELOADED if name not in sys.modules]
print(json.dumps({"threads": names, "missing": missing, "child": code}))
"""


def test_worker_daemon_preloads_everything_without_a_thread_that_a_fork_loses():
    answer = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=100
    )
    found = json.loads(answer.stdout)

    assert found["missing"] == []
    assert found["child"] == 0
    # The main thread alone; that of jemalloc is started anew after a fork.
    assert len([name for name in found["threads"] if name != "jemalloc_bg_thd"]) == 1


def test_worker_daemon_modules_exist():
    assert all(find_spec(name) for name in PRELOADED)


def test_worker_daemon_drops_only_the_archives_of_spark():
    mine = ["", "/a/site-packages", "/b/strata.zip", "/b/py4j.zip"]
    spark = ["/s/python/lib/pyspark.zip", "/s/python/lib/py4j-0.10.9.9-src.zip"]

    assert without_spark_archives([mine[0], *spark, *mine[1:]]) == mine


@pytest.mark.parametrize("folder", ["n" * 120, "missing/folder"])
def test_warm_daemon_where_no_socket_can_be_is_none(tmp_path, monkeypatch, folder):
    # A path too long for a socket, and no folder for temporary files at all.
    (tmp_path / ("n" * 120)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / folder))

    assert WarmDaemon.start({}) is None
    assert WAITING not in os.environ
    assert list((tmp_path / ("n" * 120)).iterdir()) == []
