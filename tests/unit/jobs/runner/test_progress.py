import io

import pytest

from strata.jobs.runner import progress
from strata.jobs.runner.progress import LineProgress, TaskCount


class Counted(TaskCount):
    def __init__(self, done, known):
        self.answer = (done, known)

    def read(self):
        return self.answer


@pytest.mark.parametrize(
    ("tasks", "done", "known", "told"),
    [
        (0, 0, 0, "strata: compress: rewrite: 0 s"),
        (3, 0, 0, "strata: compress: rewrite: 0/3 tasks, 0 s"),
        (3, 2, 3, "strata: compress: rewrite: 2/3 tasks, 0 s"),
        (0, 1_500, 2_000, "strata: compress: rewrite: 1,500/2,000 tasks, 0 s"),
    ],
)
def test_line_progress_tells_only_tasks_that_it_knows(monkeypatch, tasks, done, known, told):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.001)
    stream = io.StringIO()
    lines = LineProgress(Counted(done, known), stream)
    lines.start("compress", "rewrite", tasks)
    while stream.getvalue().count("\n") < 2:
        pass
    lines.finish()
    assert stream.getvalue().splitlines()[1] == told
