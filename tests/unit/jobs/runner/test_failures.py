"""Exit codes and the JSON line of every way in which a command can end badly."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from strata.errors import (
    BalanceError,
    ConcurrentChangeError,
    ConflictError,
    InputError,
    MachineError,
    RejectLimitError,
    SettingsError,
    TransientError,
)
from strata.jobs.runner.failures import guarded


class Py4JNetworkError(Exception):
    pass


def ends(error):
    def work():
        raise error

    stream = io.StringIO()
    code = guarded(work, "run-1", stream)
    return code, json.loads(stream.getvalue().splitlines()[-1])


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (SettingsError("s", hint="h"), 2, False),
        (MachineError("s", hint="h"), 2, False),
        (InputError("s", hint="h"), 3, False),
        (RejectLimitError("s", hint="h"), 3, False),
        (ConflictError("s", hint="h"), 4, False),
        (ConcurrentChangeError("s", hint="h"), 4, True),
        (BalanceError("s", hint="h"), 5, False),
        (TransientError("s", hint="h"), 75, True),
    ],
)
def test_guarded_known_error_its_code_and_hint(error, code, retryable):
    assert ends(error) == (
        code,
        {"code": code, "reason": "s", "hint": "h", "retryable": retryable, "run_id": "run-1"},
    )


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RuntimeError("x strata.errors.TransientError: cannot read s3://b/k\n y"), 75, "s3://b/k"),
        (RuntimeError("Python worker exited unexpectedly (crashed)"), 75, "worker"),
        (RuntimeError("java.lang.OutOfMemoryError: Java heap space"), 2, "memory"),
        (OSError("[Errno 28] No space left on device"), 2, "disk is full"),
        (Py4JNetworkError("Answer from Java side is empty"), 75, "JVM"),
        (ConnectionRefusedError("[Errno 111]"), 75, "JVM"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError"),
    ],
)
def test_guarded_foreign_error_translated(error, code, words):
    found, line = ends(error)

    assert found == line["code"] == code
    assert words in line["reason"]


def test_guarded_libraries_log_nothing_to_stderr(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def work():
        logging.getLogger("pyiceberg.table").warning("Commit failed due to a concurrent update")
        return 0

    assert guarded(work) == 0
    assert capsys.readouterr().err == ""


def test_guarded_terminated_is_told_though_what_it_closed_failed():
    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            raise ConnectionRefusedError("Spark is gone")

    stream = io.StringIO()
    assert guarded(work, "run-1", stream) == 143
    *told, line = stream.getvalue().splitlines()
    assert json.loads(line) == {
        "code": 143,
        "reason": "ended by SIGTERM",
        "hint": "the same command goes on",
        "retryable": True,
        "run_id": "run-1",
    }
    assert told == ["strata: error: ended by SIGTERM", "strata: hint: the same command goes on"]


def test_guarded_no_error_returns_the_result():
    assert guarded(lambda: 0) == 0


def test_guarded_reader_of_stdout_that_is_gone_ends_the_command_in_silence():
    code = (
        "import sys\n"
        "from strata.jobs.runner.failures import guarded\n"
        "def work():\n"
        "    for _ in range(100_000):\n"
        "        print('a line of a report')\n"
        "    return 0\n"
        "sys.exit(guarded(work))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"a line of a report\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_guarded_broken_pipe_elsewhere_is_told():
    code, line = ends(BrokenPipeError("a socket"))
    assert code == 1
    assert "a socket" in line["reason"]
