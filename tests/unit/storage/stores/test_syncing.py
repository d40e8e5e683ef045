import errno
import os

import pytest

from strata.errors import MachineError
from strata.storage.stores.handles import SyncedOutput
from strata.storage.stores.syncing import make_folder, sync_folder
from tests.support.faults.power_cut import PowerCut


@pytest.fixture
def power(monkeypatch):
    return PowerCut(monkeypatch)


def failing(monkeypatch, number):
    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)


def test_synced_output_replaces_a_file_after_it_is_on_the_disk(folder, power, tmp_path):
    for content in (b"one", b"another"):
        with SyncedOutput(folder / "a/b/file") as output:
            output.write(content)

        assert power.lost(tmp_path) == []
    assert (tmp_path / "a/b/file").read_bytes() == b"another"


def test_synced_output_discarded_leaves_nothing(folder, power, tmp_path):
    output = SyncedOutput(folder / "a/file")
    output.write(b"one")
    output.discard()

    assert power.calls == 0
    assert list((tmp_path / "a").iterdir()) == []


def test_sync_folder_syncs_the_way_to_a_folder_that_another_process_made(power, tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    sync_folder(str(tmp_path / "a/b"))

    assert power.lost(tmp_path) == []


def test_sync_folder_syncs_the_way_to_a_folder_again_that_was_made_again(power, tmp_path):
    for _ in range(2):
        make_folder(str(tmp_path / "a/b"))
        sync_folder(str(tmp_path / "a/b"))
        assert power.lost(tmp_path) == []
        (tmp_path / "a/b").rmdir()
        (tmp_path / "a").rmdir()


def test_synced_output_on_a_disk_that_fails_keeps_the_former_file(folder, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"former")
    failing(monkeypatch, errno.EIO)
    output = SyncedOutput(folder / "file")
    output.write(b"new")

    with pytest.raises(MachineError, match=r"cannot write .*file"):
        output.close()
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"former"]


def test_synced_output_where_nothing_can_be_synced_is_written(folder, monkeypatch, tmp_path):
    failing(monkeypatch, errno.EINVAL)
    with SyncedOutput(folder / "file") as output:
        output.write(b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
