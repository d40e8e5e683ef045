"""The context of actions that run tasks on Spark, which starts once the first task needs it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from strata.jobs.command.arguments import verbosity
from strata.jobs.runner.launch import new_run_id
from strata.jobs.runner.options import RunOptions
from strata.jobs.runner.progress import spark_progress
from strata.jobs.session.spark import LazySession
from strata.pipelines.execution.stage import StageContext
from strata.settings import Settings
from strata.storage.tables.catalog import Corpus

__all__ = ["stage_context"]


@contextmanager
def stage_context(
    settings: Settings, corpus: Corpus, arguments: argparse.Namespace
) -> Iterator[StageContext]:
    """A context for the tasks of an action, on ``arguments.master`` or the local cores."""
    run_id = new_run_id()
    options = RunOptions(arguments.action, run_id, arguments.master, verbosity(arguments))
    session = LazySession(settings, options.master, run_id, options.log_level)
    progress = spark_progress(session, options)
    try:
        yield StageContext(settings, corpus, run_id, session, progress)
    finally:
        session.stop()
