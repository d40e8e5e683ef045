"""One Spark session for the lane, and small corpora of real text for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from strata.jobs.runner.progress import QuietProgress
from strata.jobs.session.spark import LazySession
from strata.pipelines.execution.stage import StageContext
from strata.settings import Settings
from strata.storage.tables.claim import open_to_write

MASTER = "local[2]"


def bare_settings(**spark: object) -> Settings:
    """Settings for a session alone."""
    return Settings(corpus="none", inputs=[{"path": "none"}], spark=spark)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The session of the lane."""
    os.environ["STRATA_ENV"] = "local"
    properties = {
        "spark.ui.enabled": False,
        "spark.ui.showConsoleProgress": False,
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": 3,
    }
    session = LazySession(bare_settings(**properties), MASTER, "tests")
    yield session()
    session.stop()


@pytest.fixture
def context_of(spark: SparkSession, tmp_path: Path) -> Callable[..., StageContext]:
    """Makes the context of a corpus with the given settings; a run id for each call."""
    made: list[StageContext] = []

    def make(inputs: list[dict[str, Any]], corpus: str = "web", **sections: Any) -> StageContext:
        given: dict[str, Any] = {"corpus": corpus, "warehouse": str(tmp_path / "wh"), **sections}
        settings = Settings(inputs=inputs, **given)
        run_id = f"run-{len(made)}"
        context = StageContext(
            settings, open_to_write(settings), run_id, lambda: spark, QuietProgress()
        )
        made.append(context)
        return context

    return make
