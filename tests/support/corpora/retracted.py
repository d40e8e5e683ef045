"""Corpora of families of near copies, and what a retraction has to leave of them."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.retraction.request import ExpiryPolicy, MissingPolicy, RetractRequest
from strata.pipelines.tables.retractions import Selector, SelectorKind
from strata.pipelines.tokenization.training import train_bpe
from strata.settings import Settings
from tests.support.corpora.complete import contents, run_all, write_records
from tests.support.rows import rows_of
from tests.support.sequential import sequential_context

Files = Mapping[str, Sequence[Mapping[str, Any]]]

# What a retraction edits in such a corpus, in the order in which it publishes.
TABLES = ("tokens", "clean", "clusters", "edges", "fingerprints", "rejects", "documents", "inputs")


def words(rng: np.random.Generator, number: int = 70) -> list[str]:
    """Words that are drawn from a few thousand."""
    return [f"w{place}" for place in rng.integers(0, 4000, number)]


def families(seed: int = 5, number: int = 14) -> Files:
    """Records of three files: families of one to five near or exact copies, shuffled."""
    rng = np.random.default_rng(seed)
    records = []
    for family in range(number):
        base = words(rng)
        for member in range(1 + family % 5):
            copy = list(base)
            for place in rng.integers(0, len(copy), (member + family) % 3):
                copy[place] = f"x{rng.integers(0, 4000)}"
            name = f"f{family}-{member}"
            url = f"https://example.org/{family}"
            records.append({"id": name, "text": " ".join(copy), "url": url})
    records = [records[place] for place in rng.permutation(len(records))]
    third = len(records) // 3
    parts = {"a": records[:third], "b": records[third : 2 * third], "c": records[2 * third :]}
    return {f"{name}/part.jsonl": part for name, part in parts.items()}


class Project:
    """Input files, a tokenizer, and corpora that are made of them."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.kept = folder / "kept"
        self.files = files
        self.runs = 0
        tokenizer = self.folder / "tokenizer.json"
        texts = pa.array([r["text"] for part in files.values() for r in part], pa.large_string())
        tokenizer.write_bytes(train_bpe(texts, 400))
        self.tokenize = {"tokenizer": str(tokenizer)}

    def context(
        self,
        home: str = "wh",
        inputs: str = "in",
        names: Sequence[str] = ("a", "b", "c"),
        **sections: Any,
    ) -> StageContext:
        """A run over the corpus in a folder."""
        self.runs += 1
        settings = Settings(
            corpus="web",
            warehouse=str(self.folder / home),
            inputs=[{"path": str(self.folder / inputs / name / "*")} for name in names],
            **({"tokenize": self.tokenize} | sections),
        )
        return sequential_context(settings, f"run-{self.runs}")

    def built(self, **sections: Any) -> StageContext:
        """The corpus of all records."""
        write_records(self.folder / "in", self.files)
        if sections:
            run_all(self.context(**sections))
            return self.context(**sections)
        # Tables know where they are, so a copy can only be used in the same place.
        if not self.kept.exists():
            run_all(self.context())
            shutil.copytree(self.folder, self.kept)
        else:
            shutil.rmtree(self.folder)
            shutil.copytree(self.kept, self.folder)
        return self.context()

    def scratch(self, without: Collection[str], **sections: Any) -> StageContext:
        """A corpus that never had some records, whose other ones have the same places."""
        write_records(self.folder / "less", self.files, without)
        context = self.context("scratch", "less", **sections)
        run_all(context)
        return context

    @property
    def ids(self) -> list[str]:
        """The ids of all records, in order."""
        return sorted(record["id"] for part in self.files.values() for record in part)


def request(
    *selectors: tuple[str, str],
    reason: str | None = None,
    missing: MissingPolicy = MissingPolicy.REFUSE,
    expiry: ExpiryPolicy = ExpiryPolicy.BY_POLICY,
) -> RetractRequest:
    """A request for what selectors name: each a kind and a value."""
    return RetractRequest.of(
        [Selector(SelectorKind(k), v) for k, v in selectors], reason, missing, expiry
    )


def by_ids(*names: str, **more: Any) -> RetractRequest:
    """A request for documents by the ids of their records."""
    return request(*(("id", name) for name in names), **more)


def assert_same(context: StageContext, scratch: StageContext) -> None:
    """Assert that the tables are those of a corpus that never had the documents."""
    ours, theirs = contents(context), contents(scratch)
    # A pair that was verified stays, also where a search without the document finds another way.
    pairs = {(row["a"], row["b"]) for row in ours["edges"]}
    assert pairs >= {(row["a"], row["b"]) for row in theirs.pop("edges")}
    ours.pop("edges")
    assert ours == theirs


def first_survivor(context: StageContext) -> str:
    """The id of the first document that others are duplicates of."""
    kept = {row["kept_id"] for row in rows_of(context, "clusters")}
    return next(r["id"] for r in rows_of(context, "documents") if r["doc_id"] in kept)
