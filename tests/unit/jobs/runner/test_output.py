import io
import json
import os
import re
import subprocess
import sys

import pytest

from strata.jobs.runner.output import plain_streams, print_json

ASCII_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def printed(monkeypatch, encoding, write):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with plain_streams():
        write()
    stream.flush()
    assert stream.errors == "strict"
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("ascii", "── 2 × 3 – █", "-- 2 x 3 - #"),
        ("ascii", "größe 中 😀", "gr\\u00f6\\u00dfe \\u4e2d \\U0001f600"),
        ("latin-1", "größe × ─", "größe × -"),
        ("utf-8", "größe ─ 😀", "größe ─ 😀"),
        ("utf-8", "a name \udcff of a file", "a name \\udcff of a file"),
    ],
)
def test_plain_streams_show_what_they_can(monkeypatch, encoding, text, shown):
    assert printed(monkeypatch, encoding, lambda: sys.stdout.write(text)) == shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_the_same_in_every_encoding(monkeypatch, encoding):
    value = {"größe": "中 😀 – \x7f"}
    data = json.dumps(value, ensure_ascii=False).encode()

    assert json.loads(printed(monkeypatch, encoding, lambda: print_json(data))) == value


def test_command_finds_the_same_inputs_in_a_locale_without_utf8(tmp_path):
    folder = tmp_path / "größe"
    folder.mkdir()
    (folder / "中文.jsonl").write_bytes(b'{"text": "a"}\n')
    (folder / "ä.toml").write_text(
        f'corpus = "c"\nwarehouse = "{folder}/wh"\n[[inputs]]\npath = "{folder}/中*.jsonl"\n'
    )

    done = subprocess.run(
        [sys.executable, "-m", "strata.jobs.console", "plan", str(folder / "ä.toml")],
        capture_output=True,
        env={**os.environ, **ASCII_LOCALE},
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(rb"files to read *\| 1 ", done.stdout)
    assert done.stdout.isascii()
