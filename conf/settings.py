"""The settings of a corpus, as frozen models: what a TOML file may set, and the defaults.

Every field has a description; ``strata config`` and the user guide print them.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from strata.choices import RowOrder
from strata.lifecycle_settings import LifecycleRule, spill_cycle
from strata.model import NAME, Model
from strata.partition_settings import PartitionField, WriterSettings, partition_fields
from strata.place_fields import CatalogValue, Place, Places, read_local
from strata.places import checked_uri
from strata.storage_settings import (
    WAREHOUSE_TIER,
    CacheSettings,
    CompressSettings,
    TierSettings,
    TransferSettings,
    known_tables,
)

__all__ = [
    "CORPUS_AT",
    "CacheSettings",
    "CompressSettings",
    "DedupSettings",
    "FieldMapping",
    "InputFormat",
    "InputSettings",
    "LifecycleRule",
    "LinkRule",
    "NulRule",
    "Passage",
    "RowOrder",
    "Settings",
    "ShardSettings",
    "TierSettings",
    "TokenizeSettings",
    "TrainSettings",
    "TransferSettings",
    "VerifyMethod",
    "WriterSettings",
]

CORPUS_AT = r"^[A-Za-z][A-Za-z0-9_-]{0,62}(@[A-Za-z0-9][A-Za-z0-9._-]{0,62})?$"
SCRATCH = "spark.local.dir"
Scalar = bool | int | float | str


class InputFormat(StrEnum):
    """How an input file is read."""

    AUTO = "auto"
    JSONL = "jsonl"
    PARQUET = "parquet"
    CSV = "csv"
    TEXT = "text"


class FieldMapping(Model):
    """Which field of a record feeds which column; every other field goes to ``metadata``."""

    text: str = "text"
    """Field with the document's text."""
    id: str = "id"
    """Field with the user's own id; where a record has none, the id is made from its position."""
    lang: str = "lang"
    """Field with the language code."""
    url: str = "url"
    """Field with the address that the document came from."""
    date: str = "date"
    """Field with the date or time of the document; it stays in ``metadata`` as well."""


class InputSettings(Model):
    """One ``[[inputs]]`` section: files that are read in the same way."""

    path: Places
    """URL, path or glob of the input, or a list of them; a folder means all files below it."""
    source: str = ""
    """Name of the source; the default is the name of the folder."""
    format: InputFormat = InputFormat.AUTO
    """auto (by suffix), jsonl, parquet, csv or text (one document a file)."""
    fields: FieldMapping = FieldMapping()
    """Field mapping: text, id, lang, url, date."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Column separator of csv; the default is a tab for .tsv and a comma otherwise."""
    encoding: Literal["utf-8", "latin-1", "utf-16"] = "utf-8"
    """Encoding of text files."""
    missing: Literal["refuse", "skip"] = "refuse"
    """What to do about a link in an input folder that leads nowhere; those passed over are
    counted."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths as a tuple, whichever way they were written."""
        return (self.path,) if isinstance(self.path, str) else self.path


class NulRule(StrEnum):
    """What becomes of a document whose text has the character U+0000."""

    REMOVE = "remove"
    REJECT = "reject"


class ShardSettings(Model):
    """``[shard]``: reading the inputs into `documents`."""

    target_file_mb: float = Field(default=128, gt=0, le=4096)
    """Size of a written file, in MB on disk."""
    split_mb: float = Field(default=64, gt=0, le=4096)
    """Largest split of an input file, in MB, where the format can be split."""
    max_reject_ratio: float = Field(default=0.01, ge=0, le=1)
    """Largest share of unreadable records; beyond it the job stops with exit code 3."""
    landing: str = "warehouse"
    """Tier that documents and fingerprints are first written to; compress moves them to their
    own."""
    max_document_mb: float = Field(default=256, gt=0, le=1024)
    """Largest document; a longer record is rejected."""
    nul: NulRule = NulRule.REMOVE
    """U+0000 in the text of a record. remove: it is left out, and such documents are counted;
    reject: the record is rejected. A raw NUL byte outside of JSON strings, or in a text file, is
    always rejected."""
    changed_inputs: Literal["refuse", "append", "rebuild"] = "refuse"
    """What to do when an input that an earlier run has read has changed or is gone; "append" reads
    the new lines of plain JSON lines that have only grown, and refuses all other changes."""


class LinkRule(StrEnum):
    """Which documents are removed in favour of a survivor."""

    CLUSTER = "cluster"
    DIRECT = "direct"


class VerifyMethod(StrEnum):
    """How a candidate pair of documents is verified."""

    SKETCH = "sketch"
    EXACT = "exact"


class Passage(StrEnum):
    """The unit that is cut from a document where it repeats an earlier one word for word."""

    NONE = "none"
    LINE = "line"
    PARAGRAPH = "paragraph"


class DedupSettings(Model):
    """``[dedup]``: finding duplicates and electing survivors."""

    threshold: float = Field(default=0.8, ge=0.3, le=1.0)
    """Jaccard similarity of word n-grams at which two documents are duplicates."""
    ngram: int = Field(default=5, ge=1, le=32)
    """Words in a shingle."""
    bands: int | None = Field(default=None, ge=1, le=128)
    """LSH bands; derived from the threshold unless given (then `rows` must be given as well)."""
    rows: int | None = Field(default=None, ge=1, le=64)
    """Rows of an LSH band; derived from the threshold unless given."""
    survivor: tuple[str, ...] = ("first",)
    """Who survives, by priority: "first", "longest", "source:a,b" (earlier names first)."""
    verify: VerifyMethod = VerifyMethod.SKETCH
    """sketch: by the estimate from the signatures; exact: pairs whose estimate is uncertain are
    verified by the Jaccard similarity of their texts."""
    link: LinkRule = LinkRule.CLUSTER
    """cluster: of all documents that a chain of similar pairs links, one survives; direct: only
    documents that are similar to the survivor itself are removed."""
    write_clean: bool = True
    """Whether the survivors' text is written to `clean` in the tokenize pass."""
    against: tuple[Annotated[str, Field(pattern=CORPUS_AT)], ...] = ()
    """Reference corpora, as NAME or NAME@SNAPSHOT: documents that duplicate theirs are removed."""
    memory_documents: int = Field(default=2_000_000, ge=0)
    """Number of documents up to which a dedup task holds all fingerprints; beyond it Spark shuffles
    them."""
    driver_edges: int = Field(default=20_000_000, ge=0)
    """Number of edges up to which the driver finds connected components; beyond it Spark does."""
    audit_documents: int = Field(default=1_000, ge=0, le=100_000)
    """Removed documents, and equally many kept ones, checked for the error bars of the report; 0:
    none."""
    passages: Passage = Passage.NONE
    """Whether lines or paragraphs that repeat earlier ones are cut from the survivors."""
    passage_words: int = Field(default=8, ge=1, le=1_000_000)
    """Smallest number of words of a line or paragraph that is cut."""
    substring_words: int | None = Field(default=None, ge=8, le=10_000)
    """Length in words from which a run of words that repeats an earlier one is cut; off unless
    given."""
    memory_passages: int = Field(default=5_000_000, ge=0)
    """Number of passages up to which tasks sort them in memory; beyond it Spark shuffles them."""
    decontaminate: tuple[Annotated[str, Field(pattern=CORPUS_AT)], ...] = ()
    """Benchmark corpora, as NAME or NAME@SNAPSHOT: documents that contain an item are removed."""
    contain_ngram: int = Field(default=8, ge=1, le=64)
    """Words in the n-grams of items; an item of fewer words is one n-gram of all of them."""
    containment: float = Field(default=0.5, gt=0, le=1)
    """Share of an item's n-grams from which on a document contains the item."""
    contain_words: int = Field(default=8, ge=1)
    """Smallest number of words of an item that is searched for; shorter ones are common phrases."""
    contain_limit: int = Field(default=20_000_000, ge=1, le=2_000_000_000)
    """Largest number of n-grams of all items; every worker holds them, at about 25 bytes each."""

    @field_validator("survivor")
    @classmethod
    def _known_rules(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            kind, _, names = rule.partition(":")
            if not (rule in ("first", "longest") or (kind == "source" and names.strip(", "))):
                raise ValueError(
                    f"survivor rule {rule!r} is unknown: use 'first', 'longest' or 'source:a,b'"
                )
        return rules or ("first",)

    @model_validator(mode="after")
    def _both_or_none(self) -> DedupSettings:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("give both bands and rows, or neither")
        return self


class TrainSettings(Model):
    """``tokenize.train``: a tokenizer trained on a sample of the survivors."""

    vocab_size: int = Field(ge=257, le=1_000_000)
    """Size of the vocabulary, special tokens included."""
    sample_mb: float = Field(default=20, gt=0, le=4096)
    """Text to train on, spread evenly over the survivors."""


class TokenizeSettings(Model):
    """``[tokenize]``: survivors to token ids."""

    tokenizer: Place | None = None
    """URL or path of a tokenizer.json, or of a .tiktoken rank file (then name its `encoding`)."""
    encoding: str | None = None
    """Encoding of a .tiktoken file, such as "o200k_base"."""
    train: TrainSettings | None = None
    """Train a byte-level BPE instead: { vocab_size = 32000 }."""
    bos: bool = False
    """Put the beginning-of-sequence token before every document."""
    eos: bool = True
    """Put the end-of-sequence token after every document."""
    bos_token: str | None = None
    """Text of the BOS token; found by its usual names unless given."""
    eos_token: str | None = None
    """Text of the EOS token; found by its usual names unless given."""
    check_documents: int = Field(default=64, ge=1)
    """Documents of each task that the reference engine encodes too, with equal results required."""

    @model_validator(mode="after")
    def _one_source(self) -> TokenizeSettings:
        if self.tokenizer and self.train:
            raise ValueError("give either tokenizer or train, not both")
        if self.tokenizer and self.tokenizer.endswith(".tiktoken") and not self.encoding:
            raise ValueError('a .tiktoken file needs its encoding, as in encoding = "o200k_base"')
        return self


class Settings(Model):
    """All settings of one corpus."""

    corpus: str = Field(pattern=NAME)
    """Name of the corpus; its tables live in the namespace of this name."""
    warehouse: Place = "./warehouse"
    """Folder of the catalog, the table metadata and the default tier: any fsspec URL, or a path."""
    inputs: tuple[InputSettings, ...] = Field(min_length=1)
    """What to read."""
    shard: ShardSettings = ShardSettings()
    dedup: DedupSettings = DedupSettings()
    tokenize: TokenizeSettings = TokenizeSettings()
    compress: CompressSettings = CompressSettings()
    transfer: TransferSettings = TransferSettings()
    cache: CacheSettings = CacheSettings()
    tiers: dict[Annotated[str, Field(pattern=NAME)], TierSettings] = Field(default={})
    """Tiers by name; the tier "warehouse" is always there."""
    tables: dict[str, str] = Field(default={})
    """Which table goes to which tier; a table that is not named stays in the warehouse."""
    lifecycle: tuple[LifecycleRule, ...] = ()
    """Rules that `strata storage move` follows; see `[[lifecycle]]`."""
    partitions: dict[str, tuple[str, ...]] = Field(default={})
    """Fields that documents, clean and tokens are partitioned by: "source", "bucket(16, id)",
    "day(created)"."""
    writers: WriterSettings = WriterSettings()
    catalog: dict[str, CatalogValue] = Field(default={})
    """Properties of the PyIceberg catalog; the default is SQLite inside the warehouse."""
    storage_options: dict[Place, dict[str, Any]] = Field(default={})
    """fsspec options by URL prefix; a value "env:NAME" is read from the environment."""
    spark: dict[str, Scalar] = Field(default={})
    """Spark properties in local mode; flags of spark-submit take precedence."""

    @field_validator("spark")
    @classmethod
    def _scratch_folders(cls, value: dict[str, Scalar], info: ValidationInfo) -> dict[str, Scalar]:
        given = value.get(SCRATCH)
        return value | {SCRATCH: read_local(str(given), info)} if given is not None else value

    @field_validator("catalog")
    @classmethod
    def _has_a_url(cls, value: dict[str, str]) -> dict[str, str]:
        if "uri" in value:
            checked_uri(value["uri"])
        return value

    @field_validator("partitions")
    @classmethod
    def _readable(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for table, texts in value.items():
            partition_fields(table, texts)
        return value

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        wrong = list(self._wrong_names())
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _wrong_names(self) -> Iterator[str]:
        """What is named in one section and missing in another, all of it."""
        for table in self.tables:
            try:
                known_tables((table,))
            except ValueError as error:
                yield f"tables.{table}: {error}"
        named = {f"tables.{table}": tier for table, tier in self.tables.items()}
        named["shard.landing"] = self.shard.landing
        named |= {f"lifecycle.{number}.to": rule.to for number, rule in enumerate(self.lifecycle)}
        spills = {f"tiers.{name}.spill_to": tier.spill_to for name, tier in self.tiers.items()}
        for key, tier in (named | spills).items():
            if tier is not None and tier not in self.all_tiers:
                yield f"{key} names the tier {tier!r}, but there is no [tiers.{tier}]"
        cycle = spill_cycle(self.all_tiers)
        if cycle:
            yield f"tiers spill in a ring: {' -> '.join(cycle)}"

    @property
    def all_tiers(self) -> dict[str, TierSettings]:
        """The configured tiers and the implicit one of the warehouse."""
        return {WAREHOUSE_TIER: TierSettings(url=self.warehouse, level=3)} | self.tiers

    def tier_of(self, table: str) -> str:
        """Name of the tier that a table is assigned to."""
        return self.tables.get(table, WAREHOUSE_TIER)

    def partition_by(self, table: str) -> tuple[PartitionField, ...]:
        """The fields that a table is partitioned by; none where it is not."""
        texts = self.partitions.get(table)
        return partition_fields(table, texts) if texts else ()
