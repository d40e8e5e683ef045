"""`strata storage adopt`: making what lies in the corpus' places part of it."""

from __future__ import annotations

import argparse

from strata.jobs.display.facts import CommandResult, print_result
from strata.storage.tables.adopt import adopt, plan_adoption
from strata.storage.tables.catalog import Look

__all__ = ["run"]


def run(look: Look, arguments: argparse.Namespace) -> None:
    """Print what is in each place and what does not fit, and with ``--yes`` adopt all of it.

    Raises:
        IdentityError: the catalog's tables lie outside of the warehouse.
    """
    rows = [
        {
            "tier": place.tier,
            "says": place.owner or "nothing",
            "files": place.files,
            "bytes": place.n_bytes,
            "unreferenced": place.unreferenced,
            "folder": str(place.folder),
        }
        for place in plan_adoption(look)
    ]
    if arguments.yes:
        adopt(look)
    totals = {
        "corpus": look.settings.corpus,
        "adopted": arguments.yes,
        "wrong": [str(finding) for finding in look.findings],
        "files": sum(place["files"] for place in rows if isinstance(place["files"], int)),
    }
    wrong = "".join(f"wrong: {finding}\n" for finding in look.findings)
    done = "adopted: {files:,} files are those of corpus {corpus} now"
    asked = "to adopt: {files:,} files, of which gc may delete the unreferenced ones then; --yes"
    sentence = _literal(wrong) + (done if arguments.yes else f"{asked} does it")
    facts = CommandResult(
        "places",
        ("tier", "says", "files", "bytes", "unreferenced", "folder"),
        rows,
        totals,
        sentence,
    )
    print_result(facts, output=arguments.output)


def _literal(text: str) -> str:
    """Text for a format string, as it is."""
    return text.replace("{", "{{").replace("}", "}}")
