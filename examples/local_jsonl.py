"""Local JSON lines to tokens: ``python examples/local_jsonl.py [FOLDER]``.

Writes a few documents, one of them twice, runs every stage on them with ``local_jsonl.toml``, and
reads the tokens.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sample_texts import sample_texts, write_jsonl

import strata

SETTINGS = Path(__file__).with_name("local_jsonl.toml")


def main(folder: Path) -> dict[str, int]:
    """Make the corpus below a folder; returns the rows of each table."""
    texts = sample_texts(20, seed=1)
    write_jsonl(folder / "input" / "notes.jsonl", [*texts, texts[0]], "note")
    places = {
        "warehouse": str(folder / "warehouse"),
        "inputs": [{"path": str(folder / "input"), "source": "notes"}],
    }
    with strata.open(SETTINGS, overrides=places) as corpus:
        report = corpus.run()
        print(f"run {report.run_id}: {report.status} in {report.seconds:.1f} s")
        for batch in corpus.table("tokens").to_arrow_batches(["doc_id", "n_tokens"]):
            print(f"{batch.num_rows} documents, {sum(batch['n_tokens'].to_pylist())} tokens")
        return {name: corpus.table(name).count() for name in corpus.tables()}


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-local")))
