"""A small corpus, ways to damage it, and its repair."""

from dataclasses import replace

from strata.pipelines.repair.run import RepairMode, repair
from strata.settings import Settings
from strata.storage.checksums.rows import RowsChecksum
from strata.storage.integrity.verify import verify
from strata.storage.layout.records import PRESENT
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from tests.support.corpora.complete import run_all, write_records
from tests.support.sequential import sequential_context

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
]


def text_of(number):
    return " ".join(WORDS[(number * 7 + k * (number % 5 + 1)) % len(WORDS)] for k in range(40)) + (
        f" {number}"
    )


def records(first, count):
    made = [{"id": f"doc-{n}", "text": text_of(n)} for n in range(first, first + count)]
    # Duplicates, so that not all documents are in `clean`.
    return [*made, {"id": f"copy-{first}", "text": text_of(first)}]


FILES = {"a.jsonl": records(0, 30), "b.jsonl": records(100, 30)}
SPEC = {"train": {"vocab_size": 300}}


def small_settings(tmp_path, files=FILES, **changed):
    """Settings of a corpus with these input files."""
    write_records(tmp_path / "in", files)
    given = {
        "corpus": "web",
        "warehouse": str(tmp_path / "wh"),
        "inputs": [{"path": str(tmp_path / "in")}],
        "tokenize": SPEC,
    }
    return Settings.model_validate(given | changed)


def small_context(settings):
    """The corpus after all stages."""
    context = sequential_context(settings, "first")
    run_all(context)
    return context


def checksum(context, table, ref=PRESENT):
    return sum(
        (
            RowsChecksum.of(batch)
            for file in context.corpus.table(table).files_of_ref(ref)
            for batch in read_batches(
                context.store, file.location, SCHEMAS[table].names, None, 1_000_000
            )
        ),
        RowsChecksum(),
    )


def break_file(context, table, how):
    return damage(context, context.corpus.table(table).files()[0], how)


def damage(context, file, how):
    data = context.store.read_bytes(file.location)
    if how == "missing":
        context.store.delete(file.location)
    elif how == "truncated":
        context.store.write_bytes(file.location, data[:-50])
    else:
        middle = 40
        flipped = bytes([data[middle] ^ 8])
        context.store.write_bytes(file.location, data[:middle] + flipped + data[middle + 1 :])
    return file


def findings(context):
    return verify(context.corpus, context.store).findings


def mend(context, mode=RepairMode.PUBLISH):
    return repair(replace(context, run_id="mend"), findings(context), mode)


def packed_corpus(settings):
    """Rewrite the documents into another tier."""
    packed = settings.model_validate(
        settings.model_dump()
        | {"tiers": {"cold": {"url": f"{settings.warehouse}/cold"}}}
        | {"tables": {"documents": "cold"}}
    )
    context = replace(sequential_context(packed, "second"), run_id="second")
    run_all(context)
    return context
