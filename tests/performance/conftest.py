"""One generated corpus, its limit and one whole run, for all tests of speed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.corpus import Corpus
from benchmarks.generated import generated_corpus
from benchmarks.limit import Limit, measure_limit
from benchmarks.parts import Figure, measure_parts
from benchmarks.whole_run import Bench, WholeRun
from strata.pipelines.tokenization.training import train_bpe

DOCUMENTS = 8_000


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("performance")


@pytest.fixture(scope="session")
def corpus(scratch: Path) -> Corpus:
    return generated_corpus(scratch / "corpus", DOCUMENTS)


@pytest.fixture(scope="session")
def tokenizer(corpus: Corpus, scratch: Path) -> Path:
    path = scratch / "tokenizer.json"
    path.write_bytes(train_bpe(corpus.texts(2_000_000), 4_000))
    return path


@pytest.fixture(scope="session")
def parts(corpus: Corpus, tokenizer: Path, scratch: Path) -> dict[str, Figure]:
    found = measure_parts(corpus, tokenizer, scratch / "parts")
    return {part.name: part for part in found}


@pytest.fixture(scope="session")
def limit(corpus: Corpus, tokenizer: Path, scratch: Path) -> Limit:
    found = [measure_limit(corpus.folder, tokenizer, scratch / "limit") for _ in range(3)]
    return min(found, key=lambda each: each.total)


@pytest.fixture(scope="session")
def runs(corpus: Corpus, tokenizer: Path, scratch: Path) -> Iterator[list[WholeRun]]:
    bench = Bench(corpus, tokenizer, scratch / "run")
    with pytest.MonkeyPatch.context() as patch:
        # Nothing may work on in the background while the others are measured.
        patch.setenv("STRATA_CLASS_DATA", "off")
        yield [bench.run(), bench.again(), bench.run()]
