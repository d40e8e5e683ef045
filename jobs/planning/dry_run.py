"""What a run would do, from the settings, the listing and the catalog; no JVM."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from strata.errors import MachineError, StrataError
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.output import print_json
from strata.jobs.runner.progress import QuietProgress
from strata.jobs.session.spark import LazySession
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.ingest.plan import pack_splits
from strata.pipelines.lineage.staleness import cuts_are_current, is_contained_current
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.readers.split import plan_splits
from strata.pipelines.stages.compress import plan_compress
from strata.pipelines.stages.preflight import (
    Problem,
    Room,
    find_problems,
    raise_problems,
    room_for,
)
from strata.pipelines.stages.shard import plan_inputs
from strata.pipelines.tokenization.identity import named_spec, tokens_key
from strata.settings import Settings
from strata.stages import RUN, STAGES, stages_of_command
from strata.storage.tables.catalog import open_corpus
from strata.storage.writing.tiers import landing_tier, tier_of_table
from strata.tables import table_names

__all__ = ["plan_facts", "show_plan"]

PROBLEMS = "problems"
UP_TO_DATE = "up to date"
WOULD_RUN = "would run"
NOT_JUDGED = "would run unless up to date"
JUDGED = frozenset({"shard", "decontaminate", "dedup", "tokenize", "compress"})
AFTER_THE_OTHERS = "would rewrite what the stages before leave outside of its tier"


@dataclass(frozen=True, slots=True)
class _Plan:
    """The facts of a plan, and what would stop the run."""

    facts: dict[str, dict[str, Any]]
    problems: list[Problem]


def show_plan(settings: Settings, *, output: OutputForm, command: str = RUN) -> None:
    """Print what a command would do.

    Raises:
        StrataError: something would stop it; the plan has been printed before.
    """
    plan = _plan(settings, command)
    if output is OutputForm.JSON:
        print_json(msgspec.json.format(msgspec.json.encode(plan.facts), indent=2))
    else:
        console = Console(soft_wrap=True)
        for title, rows in plan.facts.items():
            if rows and title != PROBLEMS:
                console.print(_section(title, rows))
        for problem in plan.problems:
            console.print(f"problem: {problem.name}: {problem.error}", markup=False)
    sys.stdout.flush()
    raise_problems(plan.problems)


def _section(title: str, rows: dict[str, Any]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, _text(value))
    return table


def plan_facts(settings: Settings) -> dict[str, dict[str, Any]]:
    """The plan of a run as plain data: inputs, splits, room, stages, tables and problems."""
    return _plan(settings, RUN).facts


def _plan(settings: Settings, command: str) -> _Plan:
    context = StageContext(
        settings,
        open_corpus(settings),
        "dry-run",
        LazySession(settings, None, "dry-run"),
        QuietProgress(),
    )
    problems = find_problems(context, [stage.name for stage in stages_of_command(command)])
    planned = plan_inputs(context, context.corpus)
    files = planned.plan.files
    splits = plan_splits(files, context.store, int(settings.shard.split_mb * 1e6))
    target = landing_tier(settings, "documents").layout.target_file_bytes
    tasks = pack_splits(splits, os.cpu_count() or 1, target)
    rooms = room_for(settings, sum(split.weight for split in splits))
    problems += _short_rooms(rooms)
    facts: dict[str, dict[str, Any]] = {
        "inputs": {
            "files to read": len(files),
            "bytes to read": sum(file.size for file in files),
            "estimated bytes of text": sum(split.weight for split in splits),
            "files skipped": dict(planned.skipped),
        },
        "shard": {
            "mode": str(planned.plan.mode) if files else "up to date",
            "splits": len(splits),
            "tasks": len(tasks),
            "largest task, bytes of text": max(
                (sum(s.weight for s in t) for t in tasks), default=0
            ),
        },
        "room": {f"tier {', '.join(room.tiers)}": _room(room) for room in rooms},
        "stages": _stages(context, up_to_date=not files),
        "tables": {name: _table(context, name) for name in table_names()},
        PROBLEMS: {problem.name: str(problem.error) for problem in problems},
    }
    return _Plan(facts, problems)


def _short_rooms(rooms: list[Room]) -> list[Problem]:
    problems: list[Problem] = []
    for room in rooms:
        try:
            room.check()
        except MachineError as error:
            problems.append(Problem(f"tier {', '.join(room.tiers)}", error))
    return problems


def _room(room: Room) -> dict[str, int]:
    return {"bytes free": room.free_bytes, "bytes usually written": room.usual_bytes}


def _stages(context: StageContext, *, up_to_date: bool) -> dict[str, str]:
    states = {name: WOULD_RUN if name in JUDGED else NOT_JUDGED for name in STAGES}
    if not context.settings.dedup.decontaminate:
        del states["decontaminate"]
    if up_to_date:
        states["shard"] = UP_TO_DATE
        with suppress(StrataError):
            # A corpus or a tokenizer that is missing is one of the problems.
            states |= _stages_of_documents(context)
    # Only the stages before it decide what it finds.
    done = all(states[name] == UP_TO_DATE for name in ("dedup", "tokenize"))
    states["compress"] = _compress(context) if done else AFTER_THE_OTHERS
    return states


def _stages_of_documents(context: StageContext) -> dict[str, str]:
    """The stages that stand on documents that are up to date, as far as they can be judged."""
    upstream = Upstream.of_tokenize(context)
    states = {}
    if context.settings.dedup.decontaminate and is_contained_current(
        upstream.table("contained"), upstream.contained_key
    ):
        states["decontaminate"] = UP_TO_DATE
    if upstream.table("clusters").content_key == upstream.ledger_key and cuts_are_current(upstream):
        states["dedup"] = UP_TO_DATE
        with suppress(StrataError):
            if _are_tokens_current(context, upstream):
                states["tokenize"] = UP_TO_DATE
    return states


def _are_tokens_current(context: StageContext, upstream: Upstream) -> bool:
    settings = context.settings.tokenize
    wanted = tokens_key(upstream, settings, named_spec(settings, context.store))
    return all(upstream.table(name).content_key == wanted for name in ("clean", "tokens"))


def _compress(context: StageContext) -> str:
    plans = plan_compress(context.settings, context.corpus)
    files = {
        name: sum(len(group.files) for group in groups) for name, groups in plans.items() if groups
    }
    if not files:
        return UP_TO_DATE
    tables = ", ".join(f"{name} ({count:,})" for name, count in files.items())
    return f"would rewrite files of {tables}"


def _table(context: StageContext, name: str) -> dict[str, Any]:
    tier = tier_of_table(context.settings, name)
    rows = sum(file.rows for file in context.corpus.table(name).files())
    place = str(tier.folder(context.settings.corpus, name))
    return {
        "tier": tier.name,
        "codec": tier.layout.tag,
        "rows now": rows,
        "place": place,
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
