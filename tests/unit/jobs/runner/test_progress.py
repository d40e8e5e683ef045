import io

import pytest

from strata.jobs.runner.progress import LineProgress, Pace, TaskCount


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
def test_line_progress_tells_only_tasks_that_it_knows(tasks, done, known, told):
    stream = io.StringIO()
    lines = LineProgress(Counted(done, known), stream, Pace(poll=0.001, line=0.0))
    lines.start("compress", "rewrite", tasks)
    while stream.getvalue().count("\n") < 2:
        pass
    lines.finish()
    assert stream.getvalue().splitlines()[1] == told
