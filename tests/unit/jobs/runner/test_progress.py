import io
import re

import pytest
from rich.console import Console

from strata.jobs.runner.progress import BarProgress, LineProgress, Pace, TaskCount


class Counted(TaskCount):
    def __init__(self, done, known):
        self.answer = (done, known)

    def read(self):
        return self.answer

    def note(self):
        return ""


@pytest.mark.parametrize(
    ("tasks", "done", "known", "told"),
    [
        (0, 0, 0, "compress: rewrite: 0 s"),
        (3, 0, 0, "compress: rewrite: 0/3 tasks, 0 s"),
        (3, 2, 3, "compress: rewrite: 2/3 tasks, 0 s"),
        (0, 1_500, 2_000, "compress: rewrite: 1,500/2,000 tasks, 0 s"),
    ],
)
def test_line_progress_tells_only_tasks_that_it_knows(tasks, done, known, told):
    stream = io.StringIO()
    lines = LineProgress(Counted(done, known), stream, "first", Pace(poll=0.001, line=0.0))
    lines.start("compress", "rewrite", tasks)
    while stream.getvalue().count("\n") < 2:
        pass
    lines.finish()
    begun, shown, *_, done = map(said, stream.getvalue().splitlines())
    assert shown == told
    assert begun.startswith("compress: rewrite")
    assert done.startswith("compress: rewrite: done in 0.")


def said(line):
    """What a line of a log says, after its time and its run."""
    match = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ strata first: (.*)", line)
    assert match, line
    return match[1]


def test_line_progress_tells_at_once_that_spark_starts():
    stream, starting = io.StringIO(), True
    count = TaskCount(lambda: None, lambda: starting)
    lines = LineProgress(count, stream, "first", Pace(poll=0.001, line=60.0))
    lines.start("tokenize", "encode", 3)
    while stream.getvalue().count("\n") < 2:
        pass
    starting = False
    lines.stop()
    told = [said(line) for line in stream.getvalue().splitlines()]
    assert told[:2] == ["tokenize: encode (tasks: 3)", "tokenize: encode: starting Spark, 0 s"]
    assert told[-1].startswith("tokenize: encode: not finished after")


def test_bar_progress_leaves_one_line_a_step_within_80_columns():
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    bars = BarProgress(Counted(1, 2), console)
    bars.start("dedup", "compare the texts of uncertain pairs", 0)
    bars.start("tokenize", "encode, write tokens and clean", 2)
    bars.stop()
    kept = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in stream.getvalue().splitlines()]
    kept = [line.strip("\r") for line in kept if line.rstrip().endswith((" s", "finished"))]
    assert re.fullmatch(r"dedup: compare the texts of uncertain pairs +0\.\d s", kept[0])
    assert kept[1] == "tokenize: encode, write tokens and clean: not finished"
    assert max(map(len, kept)) <= 80
