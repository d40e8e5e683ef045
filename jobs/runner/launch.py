"""From settings to the report of a run: the one entry point, for commands and for Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from glob import iglob
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from strata.errors import SettingsError
from strata.jobs.runner.failures import translated
from strata.jobs.runner.progress import spark_progress
from strata.jobs.session.spark import LazySession
from strata.stages import STAGE_COMMANDS, stages_of_command

if TYPE_CHECKING:
    from strata.jobs.runner.options import RunOptions
    from strata.jobs.runner.run import RunReport, Stage
    from strata.settings import Settings

__all__ = ["launch", "new_run_id", "stages_of"]


def new_run_id() -> str:
    """A name for a run that was given none: time and process."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"


def stages_of(command: str) -> Sequence[Stage]:
    """The functions of the stages that a command runs; this imports Spark's and Arrow's modules.

    Raises:
        SettingsError: there is no such command.
    """
    if command not in STAGE_COMMANDS:
        raise SettingsError(
            f"there is no stage {command!r}", hint=f"use some of {', '.join(STAGE_COMMANDS)}"
        )
    functions = []
    for stage in stages_of_command(command):
        module, _, name = stage.function.partition(":")
        functions.append(cast("Stage", getattr(import_module(module), name)))
    return functions


def launch(
    settings: Settings, stages: Callable[[], Sequence[Stage]], options: RunOptions
) -> RunReport:
    """Run stages with a Spark session of their own, or with one that is already running.

    Args:
        settings: the corpus.
        stages: gives the stages to run; called while a JVM may be starting already.
        options: the options of the run.

    Raises:
        StrataError: as raised by the stages, or translated from an error of Spark.
    """
    session = LazySession(settings, options.master, options.run_id, options.log_level)
    progress = spark_progress(session, options)
    progress.start(options.command, "load modules", 0)
    if _needs_spark(settings):
        session.begin()
    try:
        # These imports take as long as a JVM does to start.
        from strata.jobs.runner.run import run_stages

        functions = stages()
        progress.finish()
        report = run_stages(settings, functions, options, session)
    except Exception as error:
        known = translated(error)
        if known is None or known is error:
            raise
        raise known from error
    finally:
        progress.stop()
        session.stop()
    session.keep_class_data()
    return report


def _needs_spark(settings: Settings) -> bool:
    """Whether Spark is certainly needed: a new corpus, and something to read.

    Remote stores are not queried: their answers would come too late to gain much.
    """
    paths = [path for each in settings.inputs for path in each.paths]
    new = not Path(settings.warehouse, settings.corpus).exists()
    here = not any("://" in path for path in (settings.warehouse, *paths))
    return new and here and all(next(iglob(path, recursive=True), "") for path in paths)
