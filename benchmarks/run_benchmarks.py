"""`make bench`: measures, and writes benchmarks/results/results.md and .json.

Machines differ and are noisy: the ratios of one run mean more than its absolute figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Workers of local mode have it as well.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")

from benchmarks import tables  # noqa: E402 (after the path)
from benchmarks.adaptive import adaptive_table, measure_adaptive  # noqa: E402
from benchmarks.cold_setup import measure_setup, setup_table  # noqa: E402
from benchmarks.corpus import Corpus, find_corpus, find_tokenizer  # noqa: E402
from benchmarks.data_source import data_source_table, measure_data_source  # noqa: E402
from benchmarks.dedup_cost import (  # noqa: E402
    DEDUP_PEERS,
    LARGE_DEDUP_PEERS,
    of_peer,
    of_run,
    ratios,
)
from benchmarks.dedup_scale import measure_family, measure_growth  # noqa: E402
from benchmarks.dedup_tables import growth_text, runs_table  # noqa: E402
from benchmarks.incremental import measure_incremental  # noqa: E402
from benchmarks.limit import Limit, measure_limit  # noqa: E402
from benchmarks.move import measure_move  # noqa: E402
from benchmarks.object_store import measure_requests  # noqa: E402
from benchmarks.order import measure_orders  # noqa: E402
from benchmarks.parts import measure_parts  # noqa: E402
from benchmarks.passages import measure_passages  # noqa: E402
from benchmarks.peers.run import PEERS, PeerResult, measure_peer  # noqa: E402
from benchmarks.scale import scaled  # noqa: E402
from benchmarks.scaling import (  # noqa: E402
    Measured,
    measure_odd_documents,
    measure_sizes,
)
from benchmarks.startup import await_class_data, measure_startup  # noqa: E402
from benchmarks.syncing import measure_syncing, syncing_table  # noqa: E402
from benchmarks.transfer import measure_cache, measure_transfer  # noqa: E402
from benchmarks.whole_run import Bench, WholeRun  # noqa: E402
from strata.pipelines.kernels.minhash import sketch  # noqa: E402

VERSIONS = ("corpus-strata", "pyspark", "pyarrow", "numba", "gigatoken", "tokenizers")
RESULTS = ROOT / "benchmarks" / "results"
# Peers that are measured on the large corpus too; the others would take hours.
LARGE_PEERS = ("datatrove",)
# zstd level of the colder tier, and copies of the corpus: tens of seconds of compression each.
MOVE_LEVELS = {9: 12, 15: 4}


@dataclass(frozen=True)
class Session:
    """One run of the benchmark: what it measures on, and what it has measured so far."""

    scratch: Path
    scale: int
    rounds: int
    venvs: Path
    peers: tuple[str, ...] = tuple(PEERS)

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus as it is."""
        return find_corpus(ROOT, self.scratch)

    @cached_property
    def large(self) -> Corpus:
        """The corpus, repeated."""
        return scaled(self.corpus, self.scale, self.scratch)

    @cached_property
    def tokenizer(self) -> Path:
        """The tokenizer of all programs."""
        return find_tokenizer(ROOT, self.corpus, self.scratch)

    @cached_property
    def cores(self) -> int:
        """Cores that this process may use."""
        return len(os.sched_getaffinity(0))

    @cached_property
    def bench(self) -> Bench:
        """Whole runs on the corpus as it is."""
        return Bench(self.corpus, self.tokenizer, self.scratch / "run")

    @cached_property
    def limit(self) -> Limit:
        """The limit on the large corpus, the median of the rounds."""
        out = self.scratch / "limit"
        found = [measure_limit(self.large.folder, self.tokenizer, out) for _ in range(self.rounds)]
        return sorted(found, key=lambda each: each.total)[len(found) // 2]

    @cached_property
    def runs(self) -> list[WholeRun]:
        """Whole runs on the large corpus, the fastest first."""
        large = replace(self.bench, corpus=self.large)
        return sorted((large.run() for _ in range(self.rounds)), key=lambda each: each.seconds)

    @property
    def median_run(self) -> WholeRun:
        """The median of the runs."""
        return self.runs[len(self.runs) // 2]


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the benchmark found, for people and for programs."""

    text: str
    facts: Any


def _parts(session: Session) -> Section:
    parts = measure_parts(session.corpus, session.tokenizer, session.scratch / "parts")
    return Section(tables.parts_table(parts), [asdict(part) for part in parts])


def _run(session: Session) -> Section:
    limit, run, cores = session.limit, session.median_run, session.cores
    seconds = [each.seconds for each in session.runs]
    text = tables.limit_table(limit) + tables.run_table(run, limit, cores, seconds)
    text += tables.breakdown(run, limit, cores)
    once = session.bench.run()
    scores = session.bench.scores()
    text += tables.quality_table(scores) if scores else ""
    facts = {"limit": asdict(limit), "seconds": seconds, "stages": run.report["stages"]}
    facts |= {"scores": scores}
    return Section(text, {**facts, "once_seconds": once.seconds})


def _peers(session: Session) -> Section:
    once = session.bench.run()
    runs = [("strata", once), ("strata", session.median_run)]
    found = [
        each
        for corpus, names in ((session.corpus, tuple(PEERS)), (session.large, LARGE_PEERS))
        for each in _measured_peers(session, corpus, names)
    ]
    text = tables.peers_table(found, runs)
    large = next((each for each in reversed(found) if each.name in LARGE_PEERS), None)
    if large is not None and large.seconds:
        ratio = sum(large.seconds.values()) / session.median_run.seconds
        text += (
            f"{large.name} takes {ratio:.1f} times as long as `strata run`, JVM start counted.\n\n"
        )
    daft = next((each for each in found if each.name == "daft" and each.seconds), None)
    if daft is not None:
        text += _against_daft(session.corpus, daft)
    return Section(text, [asdict(each) for each in found])


def _dedup(session: Session) -> Section:
    once = session.bench.run()
    mine = of_run(once, session.bench.scores())
    others = [of_peer(each) for each in _measured_peers(session, session.corpus, DEDUP_PEERS)]
    text = tables.dedup_table([mine, *others]) + ratios(mine, others)
    return Section(text, [asdict(each) for each in (mine, *others)])


def _dedup_large(session: Session) -> Section:
    mine = of_run(session.median_run, {})
    others = [of_peer(each) for each in _measured_peers(session, session.large, LARGE_DEDUP_PEERS)]
    text = tables.dedup_table([mine, *others]) + ratios(mine, others)
    return Section(text, [asdict(each) for each in (mine, *others)])


def _measured_peers(session: Session, corpus: Corpus, names: Sequence[str]) -> list[PeerResult]:
    return [
        measure_peer(
            name,
            corpus.folder,
            session.tokenizer,
            session.scratch,
            session.cores,
            session.venvs,
            corpus.evaluate,
        )
        for name in names
        if name in session.peers
    ]


def _incremental(session: Session) -> Section:
    steps = measure_incremental(session.large, session.scratch)
    return Section(tables.incremental_table(steps), [asdict(step) for step in steps])


def _against_daft(corpus: Corpus, daft: PeerResult) -> str:
    texts = corpus.texts(sys.maxsize)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        sketch(texts, 5)
        seconds.append(time.process_time() - start)
    mine = texts.nbytes / 1e6 / min(seconds)
    hashing, both = daft.rate("minhash"), daft.rate("normalize", "minhash")
    return (
        f"MinHash on one core: {mine:.0f} MB/s with normalisation, {mine / both:.1f} times Daft's "
        f"{both:.0f} MB/s with its own, {mine / hashing:.1f} times Daft's {hashing:.0f} MB/s "
        "without.\n\n"
    )


def _scaling(session: Session) -> Section:
    sizes = measure_sizes(session.bench, (1, 4, 16), session.scratch)
    large = replace(session.bench, corpus=session.large)
    # One after the other: a shared machine is another one ten minutes later.
    cores = [Measured(f"{number} cores", _on(large, number)) for number in (1, session.cores)]
    text = tables.scaling_table("size", sizes) + tables.growth(sizes)
    text += tables.scaling_table(f"{session.scale}×", cores)
    return Section(text, {"sizes": _memory(sizes), "cores": _memory(cores)})


def _on(bench: Bench, cores: int) -> WholeRun:
    return bench.run("--master", f"local[{cores}]")


def _odd(session: Session) -> Section:
    odd = measure_odd_documents(session.bench, session.scratch)
    return Section(tables.scaling_table("the corpus and", odd), _memory(odd))


def _dedup_scale(session: Session) -> Section:
    growth = measure_growth(session.corpus, session.scratch)
    family = measure_family(session.corpus, session.scratch)
    text = runs_table("size", growth) + growth_text(growth) + runs_table("a million", family)
    facts = {"growth": [asdict(run) for run in growth], "family": [asdict(run) for run in family]}
    return Section(text, facts)


def _memory(measured: list[Measured]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "text_mb": each.run.text_mb,
            "seconds": each.run.seconds,
            "session_seconds": each.run.session_seconds,
            "peak_mb": each.run.peak_mb,
            "stages": each.run.report["stages"],
        }
        for each in measured
    ]


def _startup(session: Session) -> Section:
    seconds = measure_startup(session.bench, session.scratch)
    return Section(tables.startup_table(seconds), seconds)


def _requests(session: Session) -> Section:
    corpus = scaled(session.corpus, 4, session.scratch)
    traffic = measure_requests(corpus, session.tokenizer, session.scratch / "s3")
    return Section(tables.requests_table(traffic), [asdict(each) for each in traffic])


def _move(session: Session) -> Section:
    found = []
    for level, scale in MOVE_LEVELS.items():
        corpus = scaled(session.corpus, scale, session.scratch)
        folder = session.scratch / "move" / str(level)
        found.append(measure_move(corpus, folder, level, session.cores, session.rounds))
    return Section(tables.moves_table(found), [asdict(each) for each in found])


def _transfer(session: Session) -> Section:
    scratch = session.scratch / "transfer"
    moved = measure_transfer(session.corpus, scratch, session.rounds)
    cached = measure_cache(session.corpus, scratch)
    text = tables.transfer_table(moved) + tables.cache_table(cached)
    facts = {"moved": [asdict(each) for each in moved], "cache": [asdict(each) for each in cached]}
    return Section(text, facts)


def _order(session: Session) -> Section:
    figures = list(measure_orders(session.corpus, session.scratch / "order"))
    return Section(tables.order_table(figures), [asdict(each) for each in figures])


def _passages(session: Session) -> Section:
    figures = measure_passages(session.corpus, session.scratch / "passages")
    return Section(tables.passages_table(figures), [asdict(each) for each in figures])


def _data_source(session: Session) -> Section:
    corpus = scaled(session.corpus, 4, session.scratch)
    figures = measure_data_source(corpus, session.scratch / "datasource")
    head = ("read", "way", "s", "of Spark's", "parts")
    return Section(tables.table(head, data_source_table(figures)), [asdict(f) for f in figures])


def _adaptive(session: Session) -> Section:
    figures = measure_adaptive(session.corpus, session.scratch / "adaptive")
    head = ("store", "best level, s", "worst level, s", "adaptive, s", "of the best", "its levels")
    return Section(tables.table(head, adaptive_table(figures)), [asdict(f) for f in figures])


def _setup(session: Session) -> Section:
    figures = measure_setup(ROOT, session.scratch / "setup")
    head = ("set-up with empty caches", "environment, s", "packages, s", "kernels, s", "all, s")
    return Section(tables.table(head, setup_table(figures)), [asdict(f) for f in figures])


def _syncing(session: Session) -> Section:
    figures = list(measure_syncing(session.bench, [session.corpus, session.large], session.rounds))
    head = ("`strata run`, Spark's start aside", "left to the system, s", "synced, s", "cost")
    return Section(tables.table(head, syncing_table(figures)), [asdict(f) for f in figures])


MEASURES: dict[str, Callable[[Session], Section]] = {
    "parts": _parts,
    "run": _run,
    "peers": _peers,
    "dedup": _dedup,
    "dedup_large": _dedup_large,
    "dedup_scale": _dedup_scale,
    "incremental": _incremental,
    "scaling": _scaling,
    "odd": _odd,
    "passages": _passages,
    "startup": _startup,
    "setup": _setup,
    "requests": _requests,
    "move": _move,
    "order": _order,
    "datasource": _data_source,
    "adaptive": _adaptive,
    "syncing": _syncing,
    "transfer": _transfer,
}


def main() -> int:
    """Measure and write the tables."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="strata-bench-") as name:
        scratch = arguments.keep or Path(name)
        scratch.mkdir(parents=True, exist_ok=True)
        venvs, peers = scratch / "venvs", tuple(arguments.peers)
        session = Session(scratch, arguments.scale, arguments.rounds, venvs, peers)
        await_class_data(session.bench, scratch)
        machine = _machine(session)
        # What was not measured now stays, if it is of the same machine and corpus.
        sections = _former(machine)
        for name, section in _measured(session, arguments.sections):
            sections[name] = section
            _write(machine, sections)
    return 0


def _write(machine: dict[str, object], sections: dict[str, dict[str, Any]]) -> None:
    ordered = {name: sections[name] for name in MEASURES if name in sections}
    RESULTS.mkdir(exist_ok=True)
    head = f"# Benchmark results\n\nCorpus `{machine['corpus']}`, {machine['cores']} cores.\n\n"
    text = head + "".join(section["text"] for section in ordered.values())
    (RESULTS / "results.md").write_text(text.rstrip() + "\n")
    facts = {"machine": machine, "sections": ordered}
    (RESULTS / "results.json").write_text(json.dumps(facts, indent=1) + "\n")


def _former(machine: dict[str, object]) -> dict[str, dict[str, Any]]:
    file = RESULTS / "results.json"
    if not file.is_file():
        return {}
    former: dict[str, Any] = json.loads(file.read_text())
    return former["sections"] if former.get("machine") == machine else {}


def _measured(session: Session, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in names:
        section = MEASURES[name](session)
        sys.stdout.write(section.text)
        sys.stdout.flush()
        yield name, {"date": datetime.now(UTC).date().isoformat(), **asdict(section)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs, of which the median counts")
    parser.add_argument("--scale", type=int, default=9, help="size of the large corpus, in corpora")
    parser.add_argument(
        "--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which peers"
    )
    parser.add_argument("--keep", type=Path, help="folder that keeps corpora and peers for later")
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"what to measure: {', '.join(MEASURES)}"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(MEASURES)
    if unknown:
        parser.error(f"unknown section: {', '.join(sorted(unknown))}")
    arguments.sections = arguments.sections or list(MEASURES)
    return arguments


def _machine(session: Session) -> dict[str, object]:
    return {
        "corpus": session.corpus.name,
        "cores": session.cores,
        "processor": platform.machine(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in VERSIONS},
    }


if __name__ == "__main__":
    sys.exit(main())
