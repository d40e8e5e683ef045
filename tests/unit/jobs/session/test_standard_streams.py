import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from strata.jobs.runner.failures import guarded
from strata.jobs.session.standard_streams import steady_streams

def work():
    file = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
    assert file > 2, file
    os.system("echo from a child; echo from a child >&2")
    sys.stderr.write("progress\\n")
    sys.stdout.write("result\\n" * 5000)
    os.write(file, b"done")
    return 0

steady_streams()
sys.exit(guarded(work))
"""


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
        (">/dev/full", 2),
        ("2>/dev/full", 0),
        (">/dev/full 2>/dev/full", 2),
        (">/dev/full 2>&-", 2),
    ],
)
def test_streams_closed_or_full_cost_neither_the_work_nor_a_traceback(tmp_path, redirection, code):
    file = tmp_path / "file"
    command = f'"$0" -c "$1" "$2" {redirection}'
    ended = subprocess.run(
        ["sh", "-c", command, sys.executable, PROGRAM, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    if code == 2 and redirection == ">/dev/full":
        assert "stdout cannot be written: No space left on device" in ended.stderr
        assert '"code": 2' in ended.stderr.splitlines()[-1]
    if code == 0:
        assert file.read_text() == "done"
