"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from benchmarks.dedup_cost import DedupCost
from benchmarks.incremental import Step
from benchmarks.limit import Limit
from benchmarks.move import MoveRound
from benchmarks.object_store import StoreTraffic
from benchmarks.order import OrderFigure
from benchmarks.parts import Figure
from benchmarks.passages import PassageFigure
from benchmarks.peers.run import PeerResult
from benchmarks.scaling import Measured
from benchmarks.transfer import CacheRound, TransferRound
from benchmarks.whole_run import WholeRun

__all__ = [
    "breakdown",
    "cache_table",
    "dedup_table",
    "growth",
    "incremental_table",
    "limit_table",
    "moves_table",
    "order_table",
    "parts_table",
    "passages_table",
    "peers_table",
    "quality_table",
    "requests_table",
    "run_table",
    "scaling_table",
    "startup_table",
    "table",
    "transfer_table",
]

QUALITY = ("recall@0.8", "recall@0.9", "false_removals@0.7", "false_removals@0.8", "orphaned")
PHASES = ("minhash", "filter", "tokenize")
SHOWN_ROW_GROUP_MB = 32


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table with one blank line after it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n\n"


def parts_table(parts: Iterable[Figure]) -> str:
    """Kernels and single steps, on one core."""
    rows = [
        (part.name, f"{part.rate:,.0f}", f"{part.ratio:.2g} × {part.against}" if part.ratio else "")
        for part in parts
    ]
    return table(["part, one core", "MB/s", "against"], rows)


def passages_table(figures: Iterable[PassageFigure]) -> str:
    """Finer grains than documents, and plain ways to the same."""
    rows = [
        (
            each.name,
            f"{each.rate:.1f}",
            f"{each.cpu_seconds:.2f}",
            f"{each.seconds:.1f}",
            f"{each.cut:,}",
            f"{each.mb_cut:.2f}",
            f"{each.peak_mb:,.0f}" if each.peak_mb else "",
        )
        for each in figures
    ]
    head = ["repeated passages", "MB/s a core", "CPU s", "s", "found", "MB cut", "worker MB"]
    return table(head, rows)


def limit_table(limit: Limit) -> str:
    """The steps of the program without Spark."""
    megabytes = limit.text_bytes / 1e6
    rows = [
        (step, f"{seconds:.2f}", f"{seconds / megabytes * 1e3:.1f}")
        for step, seconds in limit.seconds.items()
    ]
    rows.append(
        (f"all: **{limit.rate:.1f} MB/s**", f"{limit.total:.2f}", f"{1e3 / limit.rate:.1f}")
    )
    return table([f"`limit.py`, one core, {megabytes:,.0f} MB", "seconds", "ms/MB"], rows)


def run_table(run: WholeRun, limit: Limit, cores: int, seconds: Sequence[float]) -> str:
    """A whole run by stages, and how near to the limit it comes."""
    rows: list[Sequence[object]] = [
        (f"command to exit, median of {len(seconds)}", f"{run.seconds:.1f} s"),
        ("start of Spark", f"{run.session_seconds:.1f} s"),
    ]
    rows += [(each["stage"], f"{each['seconds']:.1f} s") for each in run.report["stages"]]
    share = run.text_mb / run.working_seconds / (limit.rate * cores)
    rows.append((f"share of `limit.py` × {cores} cores, without the start", f"{share:.0%}"))
    tokenize = run.stage("tokenize")
    rate = tokenize["details"]["encode_mb_per_cpu_second"]
    alone = limit.survivor_bytes / 1e6 / limit.seconds["encode"]
    rows.append(("encoding in the job, MB/s of a core", f"{rate:.0f}"))
    rows.append(("the same, of gigatoken alone in `limit.py`", f"{rate / alone:.0%}"))
    bits = run.report["tables"]["tokens"]["bytes"] * 8 / tokenize["counters"]["tokens"]
    rows.append(("bits a token on disk", f"{bits:.2f}"))
    dedup = run.stage("dedup")["seconds"] / run.working_seconds
    rows.append(("LSH, components and ledger, share of the run", f"{dedup:.1%}"))
    return table([f"`strata run`, {run.text_mb:,.0f} MB, {cores} cores", ""], rows)


def breakdown(run: WholeRun, limit: Limit, cores: int) -> str:
    """Where the core seconds of a run go that the limit does not need."""
    stages = run.report["stages"]
    counters = [stage["counters"] for stage in stages]
    in_tasks = sum(each["task_seconds"] for each in counters)
    cpu = sum(each["cpu_seconds"] for each in counters)
    phases = [
        (name, seconds)
        for stage in stages
        for name, seconds in stage["phases"].items()
        if name != "wait for Spark"
    ]
    parallel = sum(s for name, s in phases if name in ("tasks", "find edges"))
    serial = sum(seconds for _, seconds in phases) - parallel
    outside = run.working_seconds - parallel - serial
    ideal = run.text_mb / limit.rate
    parts = {
        "the work of `limit.py`": ideal,
        "more CPU in tasks: second pass, checks, statistics, tables, two caches": cpu - ideal,
        "tasks that wait (disk, JVM, other processes)": in_tasks - cpu,
        "cores without a task: scheduling, start of workers, skew at a stage's end": (
            parallel * cores - in_tasks
        ),
        "driver alone: plan, ledger, commits": serial * cores,
        "before and after the stages: imports, settings, report, stop": outside * cores,
    }
    whole = run.working_seconds * cores
    rows = [(name, f"{part:.1f}", f"{part / whole:.0%}") for name, part in parts.items()]
    return table([f"where {cores} cores × {run.working_seconds:.1f} s go", "core s", "share"], rows)


def peers_table(peers: Iterable[PeerResult], runs: Iterable[tuple[str, WholeRun]]) -> str:
    """Peers and whole runs, each with the corpus that it had."""
    rows: list[Sequence[object]] = [
        (
            name,
            f"{run.text_mb:,.0f}",
            "",
            "",
            "",
            f"{run.seconds:.1f}",
            run.stage("dedup")["rows_out"],
        )
        for name, run in runs
    ]
    for peer in peers:
        parts = [f"{peer.seconds[p]:.1f}" if p in peer.seconds else "" for p in PHASES]
        whole = f"{peer.process_seconds:.1f}" if peer.seconds else peer.note
        name = f"{peer.name} {peer.version}"
        rows.append((name, f"{peer.text_mb:,.0f}", *parts, whole, peer.survivors or ""))
    return table(
        ["", "MB", "MinHash s", "filter s", "tokens s", "command to exit s", "survivors"], rows
    )


def dedup_table(rows: Iterable[DedupCost]) -> str:
    """What deduplication costs and how good it is, a line a program and corpus."""
    lines = [
        (
            each.name,
            f"{each.text_mb:,.0f}",
            f"{each.seconds:.1f}" if each.seconds else each.note,
            f"{each.microseconds:,.0f}" if each.seconds else "",
            *(each.scores.get(name, "") for name in QUALITY),
        )
        for each in rows
    ]
    return table(["deduplication", "MB", "s", "µs/document", *QUALITY], lines)


def incremental_table(steps: Iterable[Step]) -> str:
    """New documents beside old ones, and everything at once."""
    rows = [
        (
            f"{step.what}, {step.way}",
            f"{step.documents:,}",
            f"{step.new:,}",
            f"{step.rows:,}",
            f"{step.seconds:.1f}",
            f"{step.removed:,}",
        )
        for step in steps
    ]
    return table(["dedup of", "documents", "new", "keys compared", "s", "removed"], rows)


def scaling_table(title: str, measured: Iterable[Measured]) -> str:
    """Time for a GB and peaks of memory."""
    rows = [
        (
            each.name,
            f"{each.run.text_mb:,.0f}",
            f"{each.run.working_seconds:.1f}",
            f"{each.seconds_per_gb:.1f}",
            *(f"{each.run.peak_mb.get(role, 0):,.0f}" for role in ("driver", "jvm", "worker")),
        )
        for each in measured
    ]
    head = [title, "MB", "s", "s/GB", "driver MB", "JVM MB", "worker MB"]
    return table(head, rows)


def growth(sizes: Sequence[Measured]) -> str:
    """What a further GB takes from one size to the next, without what every run takes."""
    told = []
    for less, more in pairwise(sizes):
        seconds = more.run.working_seconds - less.run.working_seconds
        each = seconds / (more.run.text_mb - less.run.text_mb) * 1e3
        told.append(f"{each:.1f} s from {less.name} to {more.name}")
    return f"A further GB takes {', '.join(told)}.\n\n"


def startup_table(seconds: dict[str, float]) -> str:
    """What a user waits for."""
    return table(
        ["command to exit", "seconds"], [(name, f"{s:.2f}") for name, s in seconds.items()]
    )


def requests_table(traffic: Iterable[StoreTraffic]) -> str:
    """Requests counted at an S3 server."""
    rows = [
        (each.kind, each.requests, f"{each.megabytes:.1f}", f"{each.per_mb:.2f}")
        for each in traffic
    ]
    return table(["S3 requests", "number", "MB", "per MB"], rows)


def moves_table(moves: Iterable[MoveRound]) -> str:
    """A move to a colder tier against a loop of plain pyarrow."""
    rows = [
        (
            f"zstd 3 to {each.level}",
            each.files,
            f"{each.megabytes:.0f}",
            f"{each.megabytes / each.loop_seconds:.1f}",
            f"{each.megabytes / each.move_seconds:.1f}",
            f"{each.ratio:.2f}",
        )
        for each in moves
    ]
    head = ["move between tiers", "files", "MB", "loop, MB/s", "move, MB/s", "move to loop"]
    return table(head, rows)


def transfer_table(moved: Iterable[TransferRound]) -> str:
    """Bytes to and from Ceph, against plain s3fs."""
    rows = [
        (
            each.what,
            f"{each.megabytes:.0f}",
            f"{each.plain:.0f}",
            f"{each.strata:.0f}",
            f"{each.ratio:.2f}",
            f"{each.requests_per_mb:.2f}",
        )
        for each in moved
    ]
    head = ["Ceph on loopback", "MB", "s3fs, MB/s", "strata, MB/s", "to s3fs", "requests per MB"]
    return table(head, rows)


def cache_table(cached: Iterable[CacheRound]) -> str:
    """A table read twice through the cache."""
    rows = [
        (
            each.link,
            f"{each.bytes_first:.2f}",
            f"{each.bytes_second:.2f}",
            f"{each.bytes_first / each.bytes_second:.1f}",
            f"{each.first:.2f}",
            f"{each.second:.2f}",
            f"{each.first / each.second:.1f}",
            f"{each.decode:.2f}",
        )
        for each in cached
    ]
    head = [
        *("cache over", "bytes, first s", "second s", "times"),
        *("decoded, first s", "second s", "times", "local s"),
    ]
    return table(head, rows)


def order_table(figures: Iterable[OrderFigure]) -> str:
    """Bytes on disk by the order of rows; the size of row groups changes them by 1 % at most."""
    rows = [
        (
            each.table,
            each.order,
            each.level,
            f"{each.megabytes:.1f}",
            f"{each.share:.2f}",
            f"{each.sort_seconds:.1f}",
            f"{each.write_seconds:.1f}",
        )
        for each in figures
        if each.row_group_mb == SHOWN_ROW_GROUP_MB
    ]
    head = ["table", "order", "zstd", "MB", "to doc_id", "sort, s", "write, s"]
    return table(head, rows)


def quality_table(scores: dict[str, object]) -> str:
    """Scores of the survivors."""
    return table(["quality against exact Jaccard", ""], [(name, scores[name]) for name in QUALITY])
