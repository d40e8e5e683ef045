"""What the scripts of the peers share: arguments, clocks and the line that they answer with.

Only the standard library: each peer's own Python runs this.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

SURVIVORS = "survivors.jsonl"


@dataclass(frozen=True)
class Task:
    """What a peer is asked: the documents, an empty folder for its files, processes, tokenizer."""

    docs: Path
    out: Path
    workers: int
    tokenizer: Path
    variant: str

    @property
    def inputs(self) -> list[Path]:
        """The files with the documents, at least one."""
        found = sorted(self.docs.glob("*.jsonl.zst"))
        if not found:
            raise FileNotFoundError(f"no *.jsonl.zst in {self.docs}")
        return found


def read_task(description: str | None, variants: tuple[str, ...] = ("default",)) -> Task:
    """The task on the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--docs", type=Path, required=True, help="folder of *.jsonl.zst")
    parser.add_argument("--out", type=Path, required=True, help="empty folder")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json")
    parser.add_argument("--variant", choices=variants, default=variants[0])
    return Task(**vars(parser.parse_args()))


@dataclass
class Clock:
    """Seconds on the wall and of the processors by phase, worker processes included."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what runs inside; a phase that runs again counts as its faster run."""
        cpu, start = tree_cpu_seconds(), time.perf_counter()
        yield
        seconds, cpu = time.perf_counter() - start, tree_cpu_seconds() - cpu
        if seconds < self.seconds.get(name, seconds + 1):
            self.seconds[name], self.cpu_seconds[name] = round(seconds, 3), round(cpu, 3)


@dataclass(frozen=True)
class Answer:
    """What a peer did."""

    package: str
    documents_in: int
    survivors: int | None = None
    tokens: int | None = None
    note: str = ""

    def print_with(self, clock: Clock) -> None:
        """One line of JSON, the last one on standard output."""
        facts = {
            **asdict(self),
            "version": metadata.version(self.package),
            "seconds": clock.seconds,
            "cpu_seconds": clock.cpu_seconds,
        }
        print(f"\n{json.dumps(facts)}", flush=True)


def read_documents(task: Task) -> Iterator[dict[str, str]]:
    """The documents as records, file by file."""
    # Not of the standard library; each peer that reads by itself has it.
    import zstandard

    for file in task.inputs:
        with file.open("rb") as raw:
            data = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            for line in io.TextIOWrapper(data, encoding="utf-8", newline="\n"):
                yield json.loads(line)


def write_survivors(task: Task, ids: Iterable[str]) -> None:
    """Tell whom the deduplication kept, for who scores it; not a part of any phase."""
    lines = [json.dumps({"id": each}) for each in ids]
    (task.out / SURVIVORS).write_text("\n".join([*lines, ""]), encoding="utf-8")


def tree_cpu_seconds() -> float:
    """Processor seconds of this process and of all that it started, ended ones included.

    `getrusage` leaves out children that still run, such as a JVM or a server of forks. Linux only:
    zero elsewhere.
    """
    times, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold blanks.
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            # It ended between the listing and the reading; its parent's times hold it.
            continue
        number = int(entry.parent.name)
        parents[number] = int(fields[1])
        times[number] = sum(int(each) for each in fields[11:15])
    mine = {os.getpid()}
    while more := {number for number, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(times.get(number, 0) for number in mine) / os.sysconf("SC_CLK_TCK")
