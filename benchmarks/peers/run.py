"""Measures a peer in a process and an environment of its own: `python -m benchmarks.peers.run`.

Whatever goes wrong with a peer is a note in its result, so that the others are still measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from benchmarks.peers.measure import SURVIVORS
from benchmarks.peers.venvs import REQUIREMENTS, NotInstallableError, peer_python

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NOTE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Peer:
    """How a peer is started: its script, its requirements, and how long it may take."""

    script: Path
    requirements: Path
    variant: str = "default"
    most_seconds: float = 3600


PEERS = {
    "datatrove": Peer(HERE / "datatrove_run.py", REQUIREMENTS / "datatrove.txt", "tuned"),
    "datatrove-default": Peer(HERE / "datatrove_run.py", REQUIREMENTS / "datatrove.txt"),
    "datatrove-dedup": Peer(HERE / "datatrove_run.py", REQUIREMENTS / "datatrove.txt", "dedup"),
    "daft": Peer(HERE / "daft_minhash.py", REQUIREMENTS / "daft.txt"),
    "text-dedup": Peer(HERE / "text_dedup_run.py", REQUIREMENTS / "text-dedup.txt", "tuned"),
    "text-dedup-default": Peer(HERE / "text_dedup_run.py", REQUIREMENTS / "text-dedup.txt"),
    "distributed-curator": Peer(
        HERE / "distributed_curator_run.py", REQUIREMENTS / "distributed-curator.txt"
    ),
}


@dataclass(frozen=True, slots=True)
class PeerResult:
    """One measurement of a peer; without seconds when it failed, and then the note tells why.

    Attributes:
        name: the key in PEERS.
        version: of its package.
        text_mb: MB (10^6 bytes) of text that it was given.
        seconds: on the wall, by phase.
        cpu_seconds: of all its processes, by phase.
        process_seconds: on the wall from command to exit: imports and what is not a phase included.
        documents: how many it was given.
        survivors: how many its deduplication kept, None where it only signs them.
        tokens: how many it wrote, None where it has no tokenization.
        note: its variant, or what went wrong.
        scores: of its survivors, where they could be scored.
    """

    name: str
    version: str = ""
    text_mb: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    process_seconds: float = 0.0
    documents: int = 0
    survivors: int | None = None
    tokens: int | None = None
    note: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)

    def rate(self, *phases: str) -> float:
        """MB of text a processor second, over these phases."""
        return self.text_mb / sum(self.cpu_seconds[phase] for phase in phases)


class _Document(msgspec.Struct):
    text: str


def measure_peer(
    name: str,
    corpus_folder: Path,
    tokenizer: Path,
    scratch: Path,
    workers: int,
    venvs: Path | None = None,
    evaluate: Path | None = None,
) -> PeerResult:
    """Install a peer if need be, and run it on a corpus.

    Args:
        name: a key of PEERS.
        corpus_folder: *.jsonl.zst with the fields id and text.
        tokenizer: a tokenizer.json.
        scratch: folder for what the peer writes, which goes when it is done.
        workers: processes (threads of Spark) that it may use.
        venvs: folder that keeps the environments, by default one in scratch.
        evaluate: a program that scores survivors against exact Jaccard, where there is one.
    """
    peer = PEERS[name]
    try:
        python = peer_python(peer.requirements, venvs or scratch / "venvs")
    except NotInstallableError as error:
        return PeerResult(name, note=f"not installable here: {error}"[:NOTE_CHARACTERS])
    out = scratch / f"peer-{name}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    asked = {"docs": corpus_folder, "out": out, "tokenizer": tokenizer}
    options = [f"--{option}={path.resolve()}" for option, path in asked.items()]
    try:
        found = run_peer(name, peer, python, [*options, f"--workers={workers}"], _mb(corpus_folder))
        return replace(found, scores=_scores(evaluate, out / SURVIVORS))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def run_peer(name: str, peer: Peer, python: Path, options: list[str], text_mb: float) -> PeerResult:
    """Run a peer's script with its Python, and read the last line that it prints."""
    command = [str(python), str(peer.script), f"--variant={peer.variant}", *options]
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as process:
        try:
            answer, complaints = process.communicate(timeout=peer.most_seconds)
        except subprocess.TimeoutExpired:
            return PeerResult(name, note=f"stopped after {peer.most_seconds:g} s")
        finally:
            if process.poll() is None:
                # Its workers and its JVM too: they share its session.
                os.killpg(process.pid, signal.SIGKILL)
    seconds = time.perf_counter() - start
    if process.returncode:
        note = f"ended with code {process.returncode}: {_last_line(complaints)}"
        return PeerResult(name, note=note[:NOTE_CHARACTERS])
    return _read_answer(name, _last_line(answer), seconds, text_mb)


def _scores(evaluate: Path | None, survivors: Path) -> Mapping[str, Any]:
    if evaluate is None or not survivors.is_file():
        return {}
    command = [sys.executable, str(evaluate), str(survivors)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    scores: Mapping[str, Any] = json.loads(done.stdout)
    return scores


def _read_answer(name: str, line: str, seconds: float, text_mb: float) -> PeerResult:
    try:
        facts: dict[str, Any] = json.loads(line)
        return PeerResult(
            name,
            version=facts["version"],
            text_mb=text_mb,
            seconds=facts["seconds"],
            cpu_seconds=facts["cpu_seconds"],
            process_seconds=round(seconds, 3),
            documents=facts["documents_in"],
            survivors=facts["survivors"],
            tokens=facts["tokens"],
            note=facts["note"],
        )
    except (ValueError, TypeError, KeyError) as error:
        note = f"no answer in its last line ({error!r}): {line}"
        return PeerResult(name, note=note[:NOTE_CHARACTERS])


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _mb(folder: Path) -> float:
    decoder = msgspec.json.Decoder(_Document)
    size = 0
    for file in sorted(folder.glob("*.jsonl.zst")):
        with file.open("rb") as raw:
            data = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
        size += sum(len(decoder.decode(line).text.encode()) for line in data.splitlines())
    return size / 1e6


def main() -> int:
    """Measure one peer and print its result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.run", description=__doc__)
    parser.add_argument("--peer", choices=PEERS, required=True)
    parser.add_argument("--docs", type=Path, required=True, help="folder of *.jsonl.zst")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for its files")
    parser.add_argument("--venvs", type=Path, help="folder that keeps the environments")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    result = measure_peer(
        asked.peer, asked.docs, asked.tokenizer, asked.scratch, asked.workers, asked.venvs
    )
    print(json.dumps(asdict(result), indent=2))
    return 0 if result.seconds else 1


if __name__ == "__main__":
    sys.exit(main())
