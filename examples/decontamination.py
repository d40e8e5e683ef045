"""Decontamination: ``python examples/decontamination.py [FOLDER]``.

Shards the questions of a benchmark, then runs a corpus in which two documents contain one each.
The table ``contained`` says which, and neither is in ``clean``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sample_texts import sample_texts, write_jsonl

import strata

HERE = Path(__file__).parent


def main(folder: Path) -> dict[str, str]:
    """Make both corpora; returns the question that each removed document contains, by ids."""
    questions = sample_texts(5, seed=7, words=20)
    texts = sample_texts(12, seed=8)
    texts[3] = f"{texts[3]} {questions[1]} {texts[4]}"
    texts[9] = f"{questions[4]} {texts[9]}"
    write_jsonl(folder / "bench" / "quiz.jsonl", questions, "question")
    write_jsonl(folder / "input" / "web.jsonl", texts, "page")
    with strata.open(
        HERE / "decontamination_bench.toml", overrides=_places(folder, "bench")
    ) as bench:
        bench.run(["shard"])
        asked = _ids(bench)
    with strata.open(HERE / "decontamination.toml", overrides=_places(folder, "input")) as corpus:
        corpus.run()
        ids = _ids(corpus)
        contained = corpus.table("contained").to_polars(["doc_id", "other_id"])
        found = {ids[doc_id]: asked[other] for doc_id, other in contained.iter_rows()}
        print(f"{corpus.table('clean').count()} of {len(ids)} documents are clean; {found}")
        return found


def _ids(corpus: strata.Corpus) -> dict[int, str]:
    return dict(corpus.table("documents").to_polars(["doc_id", "id"]).iter_rows())


def _places(folder: Path, inputs: str) -> dict[str, object]:
    return {
        "warehouse": str(folder / "warehouse"),
        "inputs": [{"path": str(folder / inputs), "source": inputs}],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-decontamination"))
