"""``strata doctor``: what this machine and these tiers have and lack, and how to fix it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from strata.errors import MachineError
from strata.jobs.doctor.check import Check
from strata.jobs.doctor.machine import (
    check_disk,
    check_folder,
    check_java,
    check_memory,
    check_packages,
    check_python,
    check_spark,
    check_worker_python,
)
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.output import print_json
from strata.settings import Settings

__all__ = ["Check", "run_checks", "show_checks"]


def run_checks(settings: Settings | None, spark: Mapping[str, object]) -> list[Check]:
    """Check the machine and, with settings, the places they name.

    Starts no Spark: the only JVM is that of ``java -version``. Every tier is written to, with one
    small file that is deleted again.

    Args:
        settings: the corpus; None without a settings file.
        spark: the properties of Spark that apply, with a settings file or without.
    """
    checks = [
        check_java(),
        check_python(),
        *check_packages(),
        check_worker_python(spark),
        check_memory(spark),
        check_disk(spark),
        check_folder(),
        check_spark(spark),
    ]
    if settings is not None:
        # Imported late: a machine that lacks a library still gets the other checks.
        from strata.jobs.doctor.places import check_places

        checks += check_places(settings)
    return checks


def show_checks(
    settings: Settings | None, spark: Mapping[str, object], *, output: OutputForm
) -> int:
    """Make the checks and print them, one per line, or as a JSON array.

    Returns:
        0 when all is well, else the exit code of a machine that lacks something.
    """
    checks = run_checks(settings, spark)
    if output is OutputForm.JSON:
        facts = [asdict(check) for check in checks]
        print_json(json.dumps(facts, indent=2, ensure_ascii=False).encode())
    else:
        sys.stdout.write(_plain_text(checks))
    return 0 if all(check.ok for check in checks) else MachineError.exit_code


def _plain_text(checks: Sequence[Check]) -> str:
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    for check in checks:
        lines.append(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<{width}}  {check.detail}")
        if not check.ok:
            lines.append(f"{'':{width + 8}}-> {check.remedy}")
    failed = sum(not check.ok for check in checks)
    lines.append(f"{failed} of {len(checks)} checks failed" if failed else "all is well")
    return "\n".join(lines) + "\n"
