"""Commands of the CLI in processes of their own, on a small corpus of real text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.corpora.texts import library_texts, with_copies, write_shards

TIMEOUT = 300
SETTINGS = """
corpus = "web"
warehouse = "{folder}/wh"
[[inputs]]
path = "{folder}/in"
[dedup]
survivor = ["longest", "first"]
[tokenize]
train = {{ vocab_size = 500, sample_mb = 0.1 }}
[tiers.cold]
url = "{folder}/cold"
level = 9
[tables]
documents = "cold"
[spark]
"spark.driver.memory" = "1g"
"spark.sql.shuffle.partitions" = 2
"""


@dataclass(frozen=True)
class Finished:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def failure(self) -> dict[str, Any]:
        """The JSON object that ends stderr."""
        found: dict[str, Any] = json.loads(self.err.strip().splitlines()[-1])
        return found


class Project:
    """A folder with inputs and a settings file, and the commands on it."""

    def __init__(self, folder: Path, count: int = 40) -> None:
        self.folder = folder
        self.inputs = write_shards(folder / "in", with_copies(library_texts(count)), 3)
        self.file = folder / "corpus.toml"
        self.file.write_text(SETTINGS.format(folder=folder))

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command of the CLI."""
        return subprocess.Popen(
            [sys.executable, "-m", "strata.jobs.console", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            # Commands of tests leave nothing behind that works on in the background.
            env={**os.environ, "STRATA_CLASS_DATA": "off", **(env or {})},
            start_new_session=True,
        )

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
        """Run a command of the CLI to its end."""
        process = self.start(*arguments, env=env)
        out, err = process.communicate(timeout=TIMEOUT)
        return Finished(process.returncode, out, err)

    def run_all(self, *more: str) -> dict[str, Any]:
        """`strata run`, which must succeed; its report."""
        done = self.run("run", str(self.file), "--master", "local[2]", "--json", *more)
        assert done.code == 0, done.err
        report: dict[str, Any] = json.loads(done.out)
        return report

    def export(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table by `strata export`."""
        done = self.run(
            "export", table, str(self.file), "--format", "jsonl", "--to", f"{self.folder}/out"
        )
        assert done.code == 0, done.err
        lines = (self.folder / "out" / f"{table}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def exported_bytes(self, table: str) -> bytes:
        """The exported file of a table as it is."""
        self.export(table)
        return (self.folder / "out" / f"{table}.jsonl").read_bytes()

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """What the final tables hold."""
        return {table: self.export(table) for table in ("documents", "clusters", "tokens")}
