"""Builds the class data of local mode: a small run of all stages whose JVM dumps loaded classes.

`strata run` starts it as a process of its own, at the lowest priority, after the first run on a
machine. It writes nothing but one file below the cache folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from strata.jobs.runner.launch import stages_of
from strata.jobs.runner.options import RunOptions
from strata.jobs.runner.run import run_stages
from strata.jobs.session.class_data import SWITCH, ClassData, class_data_of, remove_old
from strata.jobs.session.java import find_java
from strata.jobs.session.spark import LazySession
from strata.layers import load_settings
from strata.stages import RUN

__all__ = ["build", "main"]

JVM_SECONDS = 600.0
BASE_SECONDS = 120.0
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
DOCUMENTS = 40
SETTINGS = """\
corpus = "sample"
warehouse = {warehouse}
inputs = [{{ path = {inputs} }}]
[tokenize]
train = {{ vocab_size = 300, sample_mb = 0.1 }}
[tiers.sample]
url = {tier}
level = 9
[tables]
documents = "sample"
[spark]
"spark.driver.memory" = "1g"
"spark.driver.extraJavaOptions" = {options}
"""


def build(data: ClassData) -> Path:
    """Build the archive, and remove old ones.

    Raises:
        OSError: the cache folder cannot be written, or the JVM did not write the archive.
        subprocess.TimeoutExpired: the JVM did not exit.
    """
    draft = data.folder / f"draft-{uuid.uuid4().hex}"
    draft.mkdir(parents=True)
    try:
        file = draft / "classes.jsa"
        options = f"-Xlog:disable -XX:ArchiveClassesAtExit={file}"
        if data.needs_base:
            options += f" -XX:SharedArchiveFile={data.base or _make_base(data, draft)}"
        _run_sample(draft, options)
        return data.keep(file, "top")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        remove_old(data.folder)


def _make_base(data: ClassData, draft: Path) -> Path:
    file = draft / "base.jsa"
    command = [str(data.java.home / "bin/java"), "-Xshare:dump", f"-XX:SharedArchiveFile={file}"]
    subprocess.run(command, check=True, capture_output=True, timeout=BASE_SECONDS)
    return data.keep(file, "base")


def _run_sample(draft: Path, options: str) -> None:
    """Run every stage on a few made-up documents, and wait until the JVM has ended."""
    inputs = draft / "in.jsonl"
    texts = [" ".join(WORDS[n % 11 :] + WORDS + [str(n // 2)]) for n in range(DOCUMENTS)]
    inputs.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    values = {"warehouse": draft / "wh", "inputs": inputs, "tier": draft / "tier"}
    quoted = {name: json.dumps(str(value)) for name, value in values.items()}
    file = draft / "sample.toml"
    file.write_text(SETTINGS.format(options=json.dumps(options), **quoted))
    settings = load_settings(file, env="local").settings
    asked = RunOptions("run", "class-data", verbosity=-1)
    session = LazySession(settings, "local[2]", asked.run_id, asked.log_level)
    run_stages(settings, stages_of(RUN), asked, session)
    _end_jvm()


def _end_jvm() -> None:
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is not None:
        process: subprocess.Popen[bytes] = gateway.proc
        gateway.shutdown()
        if process.stdin is not None:
            process.stdin.close()
        process.wait(JVM_SECONDS)


def main() -> None:
    """Build the archive for the Java of this machine, unless it is there."""
    os.nice(19)
    data = class_data_of(find_java())
    # The JVM that dumps must not use an archive of its own.
    os.environ[SWITCH] = "off"
    if data is not None and data.archive is None:
        build(data)


if __name__ == "__main__":
    main()
