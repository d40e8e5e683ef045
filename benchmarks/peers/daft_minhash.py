"""Daft: its MinHash expression on one core, over a column of text in memory.

112 hashes of 5-grams of words with its fastest hash. Its expression does not normalise, so what
it has for that (lower case, white space) is a phase of its own; each phase is the best of three.
"""

from __future__ import annotations

import os

from benchmarks.peers.measure import Answer, Clock, read_documents, read_task

ROUNDS = 3


def main() -> None:
    """Measure on one processor."""
    task = read_task(__doc__)
    # Daft makes as many threads as it may run on when it is imported.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import daft
    import pyarrow as pa
    from daft.functions import minhash, normalize

    texts = pa.array((each["text"] for each in read_documents(task)), pa.large_string())
    raw = daft.from_arrow(pa.table({"text": texts})).collect()
    words = normalize(daft.col("text"), lowercase=True, white_space=True)
    hashes = minhash(daft.col("text"), num_hashes=112, ngram_size=5, hash_function="xxhash3_64")
    clock = Clock()
    for _ in range(ROUNDS):
        with clock.phase("normalize"):
            normal = raw.select(words).collect()
        with clock.phase("minhash"):
            normal.select(hashes).collect()
    note = "one core, signatures only"
    Answer("daft", len(texts), note=note).print_with(clock)


if __name__ == "__main__":
    main()
