"""What becomes of a signal: before a command runs, while it runs, and in a hurry."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from strata.jobs.session.signals import (
    Interrupted,
    call_no_more,
    call_on_signal,
    handled_signals,
    interruption_of,
    stop_signals,
)

WAIT_SECONDS = 10
ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def defaults():
    """The handlers of a process in a terminal, whoever started the tests."""
    defaults = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL)
    former = [signal.signal(n, h) for n, h in zip(ALL, defaults, strict=True)]
    yield
    for number, handler in zip(ALL, former, strict=True):
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(WAIT_SECONDS)


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_signal_is_an_exception_of_the_main_thread(number, code, reason):
    with stop_signals(pytest.fail) as stop, pytest.raises(Interrupted) as caught:
        send(number)

    assert (caught.value.exit_code, caught.value.reason) == (code, reason)
    assert stop.received is caught.value
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signal_while_the_first_is_followed_is_passed_over():
    def work():
        try:
            send(signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)

    with stop_signals(pytest.fail), pytest.raises(Interrupted):
        work()


def test_signal_calls_come_first_and_may_fail():
    called = []

    def fail():
        called.append("fails")
        raise ConnectionError

    def work():
        called.append("works")

    call_on_signal(fail)
    call_on_signal(work)
    try:
        with stop_signals(pytest.fail), pytest.raises(Interrupted):
            send(signal.SIGTERM)
    finally:
        call_no_more(fail)
        call_no_more(work)
    assert called == ["fails", "works"]


def test_signal_in_a_finalizer_is_raised_after_it(capsys):
    class Finalized:
        def __del__(self):
            send(signal.SIGTERM)

    def work():
        Finalized()
        time.sleep(WAIT_SECONDS)

    with stop_signals(pytest.fail), pytest.raises(Interrupted):
        work()
    assert capsys.readouterr().err == ""


def test_signal_handlers_of_others_stay():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    with stop_signals(pytest.fail):
        assert handled_signals() == [signal.SIGINT]
    assert handled_signals() == []


def test_interruption_is_found_below_what_followed_from_it():
    try:
        try:
            raise Interrupted(signal.SIGTERM)
        finally:
            raise ConnectionError
    except ConnectionError as error:
        found = interruption_of(error)
    assert found is not None
    assert found.number == signal.SIGTERM
    assert interruption_of(ConnectionError()) is None


def ended(code):
    """A Python process that ran to its end: its exit code, and what it wrote to stderr."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", ALL)
def test_signal_during_the_imports_ends_the_process_with_its_line(number):
    code, told = ended(
        "import os\n"
        "from strata.jobs.session.signals import exit_at_once\n"
        "exit_at_once()\n"
        f"os.kill(os.getpid(), {int(number)})\n"
        "import time; time.sleep(10)\n"
    )

    *words, line = told.splitlines()
    assert json.loads(line)["code"] == code == 128 + number
    assert json.loads(line)["retryable"] is True
    assert len(words) == 2


def test_interrupted_twice_ends_at_once():
    code, told = ended(
        "import os, signal, time\n"
        "from strata.jobs.runner.failures import guarded\n"
        "def work():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT); time.sleep(10)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGINT); time.sleep(10)\n"
        "guarded(work, 'run-1')\n"
    )

    *words, line = told.splitlines()
    assert json.loads(line)["run_id"] == "run-1"
    assert code == 130
    assert len(words) == 2


def test_command_handles_signals_before_it_imports_anything_slow():
    loaded = "import sys, strata.jobs.console; print(*sys.modules, file=sys.stderr)"
    code, told = ended(loaded)

    assert code == 0
    slow = {"argparse", "json", "logging", "pathlib", "strata.jobs.cli", "strata.settings"}
    usual = ended("import sys; print(*sys.modules, file=sys.stderr)")[1].split()
    assert not slow & (set(told.split()) - set(usual))
