import re
import sys

import pytest

from benchmarks.peers.run import PEERS, Peer, run_peer
from benchmarks.peers.venvs import NotInstallableError, peer_python

ANSWER = """
from benchmarks.peers.measure import Answer, Clock, read_task
task, clock = read_task("a peer"), Clock()
with clock.phase("minhash"):
    sum(range(1000))
print("what a library says")
Answer("pytest", 10, survivors=7, note=str(task.workers)).print_with(clock)
"""


@pytest.fixture
def run(tmp_path):
    """Runs a script as the peer `p` and gives its result."""

    def run_script(code, most_seconds=60):
        script = tmp_path / "peer.py"
        script.write_text(code)
        peer = Peer(script, tmp_path / "none.txt", most_seconds=most_seconds)
        folders = [f"--{name}={tmp_path}" for name in ("docs", "out", "tokenizer")]
        return run_peer("p", peer, sys.executable, [*folders, "--workers=3"], 1.5)

    return run_script


def test_benchmark_peers_answer_becomes_a_result(run):
    result = run(ANSWER)
    assert (result.documents, result.survivors, result.tokens) == (10, 7, None)
    assert result.version == pytest.__version__
    assert result.note == "3"
    assert result.text_mb == 1.5
    assert 0 <= result.seconds["minhash"] < result.process_seconds


def test_benchmark_peers_failing_peer_gives_its_last_words_as_note(run):
    result = run("raise ValueError('no documents')")
    assert result.note == "ended with code 1: ValueError: no documents"
    assert not result.seconds


@pytest.mark.parametrize("line", ["", "done", "[1]", '{"version": "1"}'])
def test_benchmark_peers_no_answer_gives_a_note(run, line):
    result = run(f"print({line!r})")
    assert result.note.startswith("no answer in its last line")
    assert not result.seconds


def test_benchmark_peers_endless_peer_is_stopped(run):
    result = run("import threading; threading.Event().wait()", most_seconds=0.5)
    assert result.note == "stopped after 0.5 s"


def test_benchmark_peers_not_installable_tells_the_reason(tmp_path):
    requirements = tmp_path / "peer.txt"
    requirements.write_text("no such requirement\n")
    with pytest.raises(NotInstallableError, match="no such requirement"):
        peer_python(requirements, tmp_path / "venvs")


def test_benchmark_peers_scripts_are_there_and_requirements_are_pinned():
    for peer in PEERS.values():
        assert peer.script.is_file()
        lines = [line for line in peer.requirements.read_text().splitlines() if line[:1] != "#"]
        assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
