"""datatrove: its four MinHash stages, then its tokenization of what they kept.

`tuned` splits words at blanks instead of with spaCy, reads signatures in whole files, forks its
workers, and writes zstd without the shuffle of tokens; `default` leaves all that as it comes;
`dedup` is `tuned` without tokenization.
"""

from __future__ import annotations

from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.stats import PipelineStats
from datatrove.utils.word_tokenizers import WordTokenizer
from tokenizers import Tokenizer

from benchmarks.peers.measure import (
    Answer,
    Clock,
    Task,
    read_task,
    write_survivors,
)

TASKS = 8
END = "<|endoftext|>"
CONFIG = MinhashConfig(n_grams=5)


class SplitWords(WordTokenizer):
    """Words as str.split finds them."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def main() -> None:
    """Run the stages and tell what they kept."""
    task = read_task(__doc__, ("tuned", "default", "dedup"))
    clock = Clock()
    with clock.phase("minhash"):
        signature = _run(task, "signature", [_reader(task), _signature(task)])
        _run(task, "buckets", [_buckets(task)], CONFIG.num_buckets)
        _run(task, "cluster", [_cluster(task)], 1)
    with clock.phase("filter"):
        kept = _run(task, "filter", [_reader(task), _filter(task), _writer(task)])
    tokens = None
    if task.variant != "dedup":
        with clock.phase("tokenize"):
            stats = _run(task, "tokenize", [JsonlReader(str(task.out / "kept")), _tokenizer(task)])
        tokens = _total(stats, "Writer", "tokens")
    write_survivors(task, (each.id for each in JsonlReader(str(task.out / "kept")).run()))
    Answer(
        "datatrove",
        documents_in=_total(signature, "MinHash stage 1", "total"),
        survivors=_total(kept, "MinHash stage 4", "forwarded"),
        tokens=tokens,
        note=task.variant,
    ).print_with(clock)


def _run(task: Task, name: str, pipeline: list[Any], tasks: int = 0) -> PipelineStats:
    start = {"start_method": "fork"} if task.variant != "default" else {}
    executor = LocalPipelineExecutor(
        pipeline,
        tasks=tasks or min(TASKS, len(task.inputs)),
        workers=task.workers,
        logging_dir=str(task.out / "logs" / name),
        **start,
    )
    return executor.run()


def _reader(task: Task) -> JsonlReader:
    return JsonlReader(str(task.docs), compression="zstd", glob_pattern="*.jsonl.zst")


def _signature(task: Task) -> MinhashDedupSignature:
    step = MinhashDedupSignature(str(task.out / "signatures"), CONFIG)
    if task.variant != "default":
        step.word_tokenizer = SplitWords()
    return step


def _buffer(task: Task) -> dict[str, int]:
    return {"lines_to_buffer": -1} if task.variant != "default" else {}


def _buckets(task: Task) -> MinhashDedupBuckets:
    folders = (str(task.out / "signatures"), str(task.out / "buckets"))
    return MinhashDedupBuckets(*folders, config=CONFIG, **_buffer(task))


def _cluster(task: Task) -> MinhashDedupCluster:
    folders = (str(task.out / "buckets"), str(task.out / "removed"))
    return MinhashDedupCluster(*folders, config=CONFIG, **_buffer(task))


def _filter(task: Task) -> MinhashDedupFilter:
    return MinhashDedupFilter(str(task.out / "removed"), **_buffer(task))


def _writer(task: Task) -> JsonlWriter:
    how = {"compression": "zstd"} if task.variant != "default" else {}
    return JsonlWriter(str(task.out / "kept"), **how)


def _tokenizer(task: Task) -> DocumentTokenizer:
    how = {"shuffle_documents": False} if task.variant != "default" else {}
    known = Tokenizer.from_file(str(task.tokenizer)).token_to_id(END) is not None
    end = END if known else None
    return DocumentTokenizer(
        str(task.out / "tokens"), str(task.tokenizer), eos_token=end, seed=1, **how
    )


def _total(stats: PipelineStats, step: str, key: str) -> int:
    return sum(int(each.stats[key].total) for each in stats.stats if step in each.name)


if __name__ == "__main__":
    main()
