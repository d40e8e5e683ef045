"""Unfinished uploads on a real object store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.servers.ceph import Ceph
from tests.support.suites.uploads import check_gc_gives_up_uploads


def test_gc_command_gives_up_unfinished_uploads(
    ceph: Ceph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_gc_gives_up_uploads(ceph.bucket() / "cold", ceph.options, tmp_path, capsys)
