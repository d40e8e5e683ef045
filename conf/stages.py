"""The stages of a run and the commands that start them: one declaration each, in run order.

Functions are named, not imported, so that ``--help`` and the settings load nothing that only a
stage needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from strata.tables import DECLARED

__all__ = ["RUN", "STAGES", "STAGE_COMMANDS", "Stage", "stages_of_command"]

RUN = "run"
"""The command that runs every stage."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The declaration of a stage.

    Attributes:
        name: its name in reports and keys.
        command: the command that runs it alone, or with the others of that command.
        function: ``module:name`` of the function that runs it.
        reads: tables that it reads.
        settings: the settings that decide its result, besides what it reads; a section means all of
            its settings. A stage is skipped when none of these has changed.
    """

    name: str
    command: str
    function: str
    reads: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def writes(self) -> tuple[str, ...]:
        """The tables that it writes, in declared order."""
        return tuple(table.name for table in DECLARED.values() if table.stage == self.name)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "shard",
            "shard",
            "strata.pipelines.stages.shard:run_shard",
            reads=("inputs", "retractions"),
            settings=("inputs", "dedup.ngram", "shard.max_document_mb", "shard.nul"),
        ),
        Stage(
            "decontaminate",
            "dedup",
            "strata.pipelines.stages.decontaminate:run_decontaminate",
            reads=("documents",),
            settings=(
                "dedup.decontaminate",
                "dedup.contain_ngram",
                "dedup.containment",
                "dedup.contain_words",
            ),
        ),
        Stage(
            "dedup",
            "dedup",
            "strata.pipelines.stages.dedup:run_dedup",
            reads=("documents", "fingerprints", "contained"),
            settings=(
                *("dedup.threshold", "dedup.bands", "dedup.rows", "dedup.verify", "dedup.against"),
                *("dedup.survivor", "dedup.link"),
                *("dedup.passages", "dedup.passage_words", "dedup.substring_words"),
            ),
        ),
        Stage(
            "tokenize",
            "tokenize",
            "strata.pipelines.stages.tokenize:run_tokenize",
            reads=("documents", "clusters", "contained", "cuts"),
            settings=(
                *("tokenize.tokenizer", "tokenize.train", "tokenize.bos", "tokenize.eos"),
                "dedup.write_clean",
            ),
        ),
        Stage(
            "compress",
            "compress",
            "strata.pipelines.stages.compress:run_compress",
            reads=("documents", "fingerprints", "edges", "clean", "tokens"),
            settings=("compress", "tiers", "tables"),
        ),
    )
}
"""By name, in the order of a run. `compress` has no key: it does what its files still need."""

STAGE_COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        RUN: ("run_pipeline", "run every stage: shard, dedup, tokenize, compress"),
        "shard": ("shard_documents", "read the inputs into documents and fingerprints"),
        "dedup": ("deduplicate_documents", "find duplicates and elect survivors"),
        "tokenize": ("tokenize_documents", "encode the survivors into tokens"),
        "compress": ("compress_tables", "compact the tables into their tiers"),
    }
)
"""Script in `jobs/` and summary of each command that runs stages."""


def stages_of_command(command: str) -> tuple[Stage, ...]:
    """The stages that a command runs, in their order."""
    return tuple(each for each in STAGES.values() if command in (RUN, each.command))
