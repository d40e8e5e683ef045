import json
import sys

import pytest

from strata.errors import MachineError
from strata.jobs.doctor import doctor
from strata.jobs.doctor import machine as machine_checks
from strata.jobs.doctor import places as storage_checks
from strata.jobs.doctor.doctor import Check, run_checks, show_checks
from strata.jobs.doctor.machine import check_disk, check_memory, check_worker_python, memory_bytes
from strata.jobs.doctor.places import check_tiers
from strata.jobs.runner.options import OutputForm
from strata.settings import Settings


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("PYSPARK_PYTHON", "STRATA_MASTER", "SPARK_LOCAL_DIRS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(tmp_path):
    tiers = {"hot": {"url": str(tmp_path / "hot")}}
    return Settings(
        corpus="web", warehouse=str(tmp_path / "house"), inputs=[{"path": "a"}], tiers=tiers
    )


def program(tmp_path, script):
    file = tmp_path / "python-of-worker"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("text", "size"), [("2g", 2 << 30), ("512M", 512 << 20), ("1024", 1 << 30), ("3kb", 3072)]
)
def test_memory_bytes_of_spark_sizes(text, size):
    assert memory_bytes(text) == size


def test_memory_bytes_of_nonsense_is_refused():
    with pytest.raises(ValueError, match="no size"):
        memory_bytes("lots")


def test_memory_more_than_the_machine_has_fails_with_remedy():
    check = check_memory({"spark.driver.memory": "900t"})
    assert not check.ok
    assert "spark.driver.memory" in check.remedy


def test_memory_small_heap_is_well():
    assert check_memory({"spark.driver.memory": "64m"}).ok


def test_memory_unreadable_size_fails():
    assert not check_memory({"spark.driver.memory": "lots"}).ok


def test_worker_python_in_local_mode_is_this_one():
    check = check_worker_python({})
    assert check.ok
    assert sys.executable in check.detail


def test_worker_python_on_a_cluster_comes_from_path(tmp_path, monkeypatch):
    program(tmp_path, "echo no module named pyarrow >&2; exit 1")
    (tmp_path / "python-of-worker").rename(tmp_path / "python3")
    monkeypatch.setenv("PATH", str(tmp_path))
    check = check_worker_python({"spark.master": "spark://host:7077"})
    assert not check.ok
    assert "no module named pyarrow" in check.detail
    assert "PYSPARK_PYTHON" in check.remedy


def test_worker_python_of_another_version_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", program(tmp_path, "echo 3.1 26.0"))
    check = check_worker_python({})
    assert not check.ok
    assert "Python 3.1" in check.detail


def test_worker_python_missing_fails(monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", "/nowhere/python")
    assert not check_worker_python({}).ok


def test_disk_of_missing_folder_fails(tmp_path):
    check = check_disk({"spark.local.dir": str(tmp_path / "nowhere")})
    assert not check.ok
    assert "spark.local.dir" in check.remedy


def test_disk_too_full_fails(tmp_path):
    assert not check_disk({"spark.local.dir": str(tmp_path)}, min_free_bytes=1 << 62).ok


def test_tiers_are_written_and_left_clean(settings, tmp_path):
    checks = check_tiers(settings)
    assert [check.name for check in checks] == ["tier warehouse", "tier hot"]
    assert all(check.ok for check in checks)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_tiers_that_cannot_be_written_fail_with_remedy(settings, tmp_path):
    (tmp_path / "hot").write_text("a file where a folder should be")
    warehouse, hot = check_tiers(settings)
    assert warehouse.ok
    assert not hot.ok
    assert hot.remedy


def test_tiers_of_unknown_scheme_fail_without_a_crash(settings):
    tiers = {"far": {"url": "nosuchscheme://bucket/x"}}
    checks = check_tiers(
        settings.model_copy(
            update={
                "tiers": Settings.model_validate(settings.model_dump() | {"tiers": tiers}).tiers
            }
        )
    )
    assert not checks[-1].ok


def test_checks_without_settings_touch_no_storage(monkeypatch):
    monkeypatch.setattr(storage_checks, "check_tiers", None)
    names = [check.name for check in run_checks(None, {})]
    assert names[:3] == ["Java", "Python", "pyspark"]
    assert not any(name.startswith("tier") for name in names)


def test_checks_name_a_missing_java(monkeypatch):
    def none():
        raise MachineError("no Java", hint="install one")

    monkeypatch.setattr(machine_checks, "find_java", none)
    java = run_checks(None, {})[0]
    assert (java.ok, java.detail, java.remedy) == (False, "no Java", "install one")


@pytest.fixture
def checks(monkeypatch):
    found = [Check("a", ok=True, detail="fine"), Check("bb", ok=False, detail="bad", remedy="mend")]
    monkeypatch.setattr(doctor, "run_checks", lambda *_: found)
    return found


def test_show_checks_failure_prints_remedy_and_fails(checks, capsys):
    assert show_checks(None, {}, output=OutputForm.TEXT) == 2
    assert "-> mend" in capsys.readouterr().out


def test_show_checks_json_is_an_array(checks, capsys):
    show_checks(None, {}, output=OutputForm.JSON)
    assert [row["ok"] for row in json.loads(capsys.readouterr().out)] == [True, False]


def test_show_checks_all_well_is_zero(checks, capsys):
    checks.pop()
    assert show_checks(None, {}, output=OutputForm.TEXT) == 0
