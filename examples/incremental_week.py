"""An incremental week: ``python examples/incremental_week.py [FOLDER]``.

Every day brings some new documents and copies of the day before. Each run reads the new file
alone, removes the copies, and says what it did. On the last day nothing is new.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sample_texts import sample_texts, write_jsonl

import strata

SETTINGS = Path(__file__).with_name("incremental_week.toml")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Day:
    """What the run of a day did: rows of the tables after it, and the stages that had work."""

    name: str
    documents: int
    clean: int
    stages: tuple[str, ...]


def main(folder: Path, days: Sequence[str] = DAYS) -> list[Day]:
    """Run the days one after the other; returns what each did."""
    week = []
    places = {
        "warehouse": str(folder / "warehouse"),
        "inputs": [{"path": str(folder / "input"), "source": "news"}],
    }
    yesterday: list[str] = []
    for number, name in enumerate(days):
        if name != "sun":
            today = sample_texts(8, seed=number)
            write_jsonl(folder / "input" / f"{number}-{name}.jsonl", [*today, *yesterday[:2]], name)
            yesterday = today
        with strata.open(SETTINGS, overrides=places) as corpus:
            report = corpus.run(run_id=f"{number}-{name}")
            busy = tuple(each.stage for each in report.stages if str(each.status) == "done")
            clean = corpus.table("clean").count()
            day = Day(name, corpus.table("documents").count(), clean, busy)
        print(f"{day.name}: {day.documents} documents, {day.clean} clean; worked: {day.stages}")
        week.append(day)
    return week


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example-week"))
