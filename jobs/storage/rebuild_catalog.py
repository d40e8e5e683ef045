"""`strata storage rebuild-catalog`: a lost catalog, made anew from the tables' metadata files."""

from __future__ import annotations

import argparse

from strata.errors import InputMissingError
from strata.jobs.display.facts import CommandResult, print_result
from strata.storage.tables.catalog import Look
from strata.storage.tables.rebuild import plan_rebuild, rebuild_catalog

__all__ = ["run"]


def run(look: Look, arguments: argparse.Namespace) -> None:
    """Rebuild the catalog, and print what it has now.

    Raises:
        InputMissingError: the warehouse has no metadata of tables.
        IdentityError: the warehouse is a copy, or the tiers are those of another corpus.
    """
    plan = plan_rebuild(look)
    if not plan:
        raise InputMissingError(
            f"the warehouse {look.settings.warehouse} has no metadata of tables of corpus "
            f"{look.settings.corpus}",
            hint="check `warehouse` and `corpus` in the settings",
        )
    if not arguments.dry_run:
        rebuild_catalog(look, plan).close()
    rows = [
        {
            "table": each.table,
            "rows": each.rows,
            "snapshots": each.snapshots,
            "tags": ", ".join(each.tags),
            "catalog": each.known or "nothing",
            "metadata": each.metadata.name,
        }
        for each in plan
    ]
    totals = {
        "corpus": look.settings.corpus,
        "dry_run": arguments.dry_run,
        "tables": sum(each.is_behind for each in plan),
    }
    verb = "to register" if arguments.dry_run else "registered"
    facts = CommandResult(
        "rebuilt",
        ("table", "rows", "snapshots", "tags", "catalog", "metadata"),
        rows,
        totals,
        f"tables {verb}: {{tables}}",
    )
    print_result(facts, output=arguments.output)
