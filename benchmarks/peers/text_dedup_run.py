"""text-dedup: MinHash of its last release, from the documents to a saved data set.

5-grams of words, threshold 0.8, 250 permutations; `tuned` takes its faster hash, `default` SHA-1.
"""

from __future__ import annotations

import os

from benchmarks.peers.measure import (
    Answer,
    Clock,
    Task,
    read_documents,
    read_task,
    write_survivors,
)


def main() -> None:
    """Deduplicate and count what was kept."""
    task = read_task(__doc__, ("tuned", "default"))
    # Read when the library is imported.
    os.environ |= {"HF_HOME": str(task.out / "home"), "HF_HUB_OFFLINE": "1"}
    from datasets import load_from_disk
    from text_dedup.minhash import main as deduplicate

    clock = Clock()
    with clock.phase("minhash"):
        deduplicate(_arguments(task), standalone_mode=False)
    kept = load_from_disk(str(task.out / "kept"))
    write_survivors(task, kept["id"])
    documents = sum(1 for _ in read_documents(task))
    note = f"{task.variant}; deletes documents under 5 words"
    Answer("text-dedup", documents, survivors=len(kept), note=note).print_with(clock)


def _arguments(task: Task) -> list[str]:
    options = {
        "path": "json",
        "data_files": str(task.docs / "*.jsonl.zst"),
        "split": "train",
        "cache_dir": str(task.out / "cache"),
        "output": str(task.out / "kept"),
        "column": "text",
        "ngram": "5",
        "threshold": "0.8",
        "num_proc": str(task.workers),
        "hash_func": "xxh3" if task.variant == "tuned" else "sha1",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


if __name__ == "__main__":
    main()
