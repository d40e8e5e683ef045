"""What deduplication costs, from the documents to the decision which of them go, beside peers.

For Strata that is the stages shard and dedup: reading, fingerprints, writing `documents`, LSH,
verification, components, ledger; not the audit and the summary of the ledger, which no peer has.
For datatrove its signature, bucket and cluster stages; the other peers write the survivors in the
same step. The start of a session counts for nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.run import PeerResult
from benchmarks.whole_run import WholeRun

__all__ = ["DEDUP_PEERS", "LARGE_DEDUP_PEERS", "DedupCost", "of_peer", "of_run", "ratios"]

DEDUP_PEERS = (
    "datatrove-dedup",
    "datatrove-default",
    "text-dedup",
    "text-dedup-default",
    "distributed-curator",
)
# On the large corpus the others would take hours.
LARGE_DEDUP_PEERS = ("datatrove-dedup", "distributed-curator")
NAMES = {"datatrove-dedup": "datatrove, tuned", "text-dedup": "text-dedup, tuned"}


@dataclass(frozen=True, slots=True)
class DedupCost:
    """One measurement.

    Attributes:
        name: the program.
        text_mb: MB (10^6 bytes) of text.
        documents: their number.
        seconds: on the wall, without the start of a session; 0 where it failed.
        scores: of the survivors against exact Jaccard, where the corpus has pairs.
        note: what went wrong.
    """

    name: str
    text_mb: float
    documents: int
    seconds: float
    scores: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def microseconds(self) -> float:
        """For a document."""
        return self.seconds / max(self.documents, 1) * 1e6


def of_run(run: WholeRun, scores: Mapping[str, Any]) -> DedupCost:
    """The stages shard and dedup of a run."""
    stages = [run.stage(name) for name in ("shard", "dedup")]
    extra = sum(stages[1]["phases"].get(name, 0.0) for name in ("audit", "summary"))
    seconds = sum(stage["seconds"] for stage in stages) - extra
    return DedupCost("strata", run.text_mb, stages[1]["rows_in"], seconds, scores)


def of_peer(peer: PeerResult) -> DedupCost:
    """The MinHash phase of a peer."""
    seconds = peer.seconds.get("minhash", 0.0)
    name = f"{NAMES.get(peer.name, peer.name)} {peer.version}"
    return DedupCost(name, peer.text_mb, peer.documents, seconds, peer.scores, peer.note)


def ratios(mine: DedupCost, others: list[DedupCost]) -> str:
    """How many times as long the others take on the same corpus."""
    told = [f"{each.name} {each.seconds / mine.seconds:.1f}" for each in others if each.seconds]
    return f"Times as long as strata on {mine.text_mb:,.0f} MB: {', '.join(told) or 'none'}.\n\n"
