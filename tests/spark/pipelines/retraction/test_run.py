"""Retraction on a real session: afterwards the tables are those without the documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from strata.pipelines.execution.stage import StageContext, StageStatus
from strata.pipelines.retraction.request import ExpiryPolicy, MissingPolicy, RetractRequest
from strata.pipelines.retraction.run import run_retract
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.pipelines.tokenization.training import train_bpe
from tests.support.corpora.complete import contents, run_all, write_records
from tests.support.corpora.texts import library_texts, with_copies
from tests.support.rows import rows_of

Make = Callable[..., StageContext]


def test_retract_on_spark_same_tables_as_without_the_documents(
    context_of: Make, tmp_path: Path
) -> None:
    texts = with_copies(library_texts(50))
    records = [{"id": f"doc-{number}", "text": text} for number, text in enumerate(texts)]
    files = {f"{name}/part.jsonl": records[start::3] for start, name in enumerate("abc")}
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(train_bpe(pa.array(texts, pa.large_string()), 500))
    sections = {
        "tokenize": {"tokenizer": str(tokenizer)},
        "shard": {"target_file_mb": 0.05, "split_mb": 0.05},
    }
    # The originals of copies, one file whole, and documents alone.
    gone = {f"doc-{number}" for number in (0, 3, 5, 6, 10, 17)} | {r["id"] for r in records[1::3]}
    write_records(tmp_path / "in", files)
    write_records(tmp_path / "less", files, gone)
    inputs = [{"path": str(tmp_path / "in" / name)} for name in "abc"]
    context = context_of(inputs, **sections)
    run_all(context)
    selectors = [Selector(SelectorKind.ID, name) for name in gone if int(name[4:]) % 3 != 1]
    selectors.append(Selector(SelectorKind.SOURCE, "b"))

    report = run_retract(
        context, RetractRequest.of(selectors, "test", MissingPolicy.REFUSE, ExpiryPolicy.NOW)
    )

    less = [{"path": str(tmp_path / "less" / name)} for name in "abc"]
    scratch = context_of(less, "scratch", **sections)
    run_all(scratch)
    assert report.removed == {"retracted": len(gone)}
    ours, theirs = contents(context), contents(scratch)
    pairs = {(row["a"], row["b"]) for row in ours.pop("edges")}
    assert pairs >= {(row["a"], row["b"]) for row in theirs.pop("edges")}
    assert ours == theirs
    assert report.details.receipt.held.snapshots == {}
    assert {each.status for each in run_all(context_of(inputs, **sections))} == {
        StageStatus.SKIPPED
    }
    assert not gone & {row["id"] for row in rows_of(context, "documents")}
