"""A DAG of Airflow 3 that runs Strata every night; copy it to the DAGs folder and set the paths.

Only what may help is tried again: the last line of a failed command says whether it is retryable.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cached_property

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator

STRATA = "/path/to/venv/bin/strata"
SETTINGS = "/path/to/corpus.toml"
PROJECT = "/path/to/project"
NAME = "airflow-{{ run_id | replace(':', '') | replace('+', '_') }}-{{ ti.try_number }}"


class StrataOperator(BaseOperator):
    """Runs a command of Strata; fails for good where the same command would fail again."""

    # A run of the DAG has an id even without a logical date. Each attempt has its own report.
    template_fields = ("name",)

    def __init__(self, command: str, **options: object) -> None:
        super().__init__(**options)
        self.command = command
        self.name = NAME

    @cached_property
    def hook(self) -> SubprocessHook:
        """Starts the command, with the environment of the worker."""
        return SubprocessHook()

    def execute(self, context: object) -> None:  # noqa: ARG002 (Airflow's signature)
        """Run the command; its output goes to the log of the task."""
        command = [STRATA, self.command, SETTINGS, "-q", "--run-id", self.name]
        done = self.hook.run_command(command, cwd=PROJECT)
        if done.exit_code == 0:
            return
        kind = AirflowException if is_retryable(done.output) else AirflowFailException
        raise kind(f"strata {self.command} ended with {done.exit_code}: {done.output}")

    def on_kill(self) -> None:
        """End the command in order, when the task is stopped."""
        self.hook.send_sigterm()


def is_retryable(last_line: str) -> bool:
    """Whether the last line of a failed command says that it may succeed later."""
    try:
        return bool(json.loads(last_line)["retryable"])
    except (ValueError, KeyError, TypeError):
        return False


with DAG(
    dag_id="strata",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
):
    StrataOperator(task_id="run", command="run", retries=2, retry_delay=timedelta(minutes=10))
