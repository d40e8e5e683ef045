"""Which archive of class data a JVM is shown, and which are kept."""

import os
from importlib.util import find_spec

import pytest

from strata.jobs.session import class_data
from strata.jobs.session.class_data import class_data_of, remove_old
from strata.jobs.session.java import Java, JavaKind, JavaVersion


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, and class data switched on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STRATA_CLASS_DATA", raising=False)
    return tmp_path / "cache/strata/class-data"


def java_of(home, version="17.0.15", base="present"):
    """A Java home, with or without an archive of Java's own classes."""
    (home / "lib/server").mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/java").write_text("")
    (home / "release").write_text(version)
    if base == "present":
        (home / "lib/server/classes.jsa").write_text("")
    return Java(home, JavaVersion.parse(version), JavaKind.SYSTEM)


@pytest.fixture
def data(tmp_path, cache):
    """The class data of a Java, without any archive yet."""
    cache.mkdir(parents=True)
    return class_data_of(java_of(tmp_path / "java"))


def keep(data, part="top", content=b"classes"):
    """Finish an archive."""
    draft = data.folder / "draft.jsa"
    draft.write_bytes(content)
    return data.keep(draft, part)


@pytest.fixture
def builders(monkeypatch):
    """The commands that would run in the background."""
    started = []
    monkeypatch.setattr(
        class_data.subprocess, "Popen", lambda command, **_: started.append(command)
    )
    return started


def test_class_data_without_archive_gives_no_options(data):
    assert data.options() == []


def test_class_data_archive_is_shown_to_the_jvm_which_stays_silent(data):
    archive = keep(data)

    assert data.options() == [
        "-Xshare:auto",
        f"-XX:SharedArchiveFile={archive}",
        "-Xlog:cds*=off",
    ]


@pytest.mark.parametrize("content", [b"", b"class", b"classes and more"])
def test_class_data_archive_of_another_size_is_not_shown(data, content):
    archive = keep(data)
    archive.write_bytes(content)

    assert data.archive is None
    assert data.options() == []


def test_class_data_newer_java_is_silenced_by_its_other_name_too(tmp_path, cache):
    cache.mkdir(parents=True)
    data = class_data_of(java_of(tmp_path / "java", "25.0.3"))
    keep(data)

    assert data.options()[2:] == ["-Xlog:cds*=off", "-Xlog:aot*=off"]


def test_class_data_java_without_base_needs_both_archives(tmp_path, cache):
    cache.mkdir(parents=True)
    data = class_data_of(java_of(tmp_path / "java", base="absent"))
    top = keep(data)
    assert data.options() == []

    base = keep(data, "base", b"java")

    assert data.options()[1] == f"-XX:SharedArchiveFile={base}{os.pathsep}{top}"


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false"])
def test_class_data_switched_off_is_none(tmp_path, monkeypatch, value):
    monkeypatch.setenv("STRATA_CLASS_DATA", value)

    assert class_data_of(java_of(tmp_path / "java")) is None


@pytest.mark.parametrize("option", ["-Xshare:off", "-XX:SharedArchiveFile=mine.jsa"])
def test_class_data_of_the_user_comes_first(tmp_path, option):
    assert class_data_of(java_of(tmp_path / "java"), f"-Dx=1 {option}") is None


def test_class_data_key_follows_java_and_strata(tmp_path, data, monkeypatch):
    assert class_data_of(data.java).key == data.key
    assert class_data_of(java_of(tmp_path / "other")).key != data.key
    monkeypatch.setattr(class_data, "VERSION", "another")
    assert class_data_of(data.java).key != data.key


def test_class_data_build_starts_once_a_day(data, builders):
    data.build_in_background()
    data.build_in_background()
    assert len(builders) == 1

    os.utime(data.folder / f"{data.key}.attempt", (1, 1))
    data.build_in_background()

    assert len(builders) == 2


def test_class_data_build_removes_what_was_refused(data, builders):
    archive = keep(data)

    data.build_in_background()

    assert not archive.exists()


def test_class_data_build_in_unwritable_cache_does_nothing(tmp_path, builders, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")

    class_data_of(java_of(tmp_path / "java")).build_in_background()

    assert builders == []


def test_class_data_mapped_is_what_the_system_says(data, tmp_path):
    archive = keep(data)
    for pid, mapped in ((1, str(archive)), (2, "/lib/libc.so")):
        (tmp_path / f"proc/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/maps").write_text(f"7f00-7f01 r--p 0 00:00 1 {mapped}\n")

    assert data.is_mapped(1, tmp_path / "proc")
    assert not data.is_mapped(2, tmp_path / "proc")


def test_class_data_where_the_system_does_not_tell_counts_as_mapped(data, tmp_path):
    keep(data)

    assert data.is_mapped(os.getpid(), tmp_path / "none")


def test_class_data_old_archives_and_broken_drafts_are_removed(data):
    for number in range(5):
        file = data.folder / f"key{number}-top-1.jsa"
        file.write_text("x")
        (data.folder / f"key{number}.attempt").write_text("")
        os.utime(file, (number, number))
    (data.folder / "draft-old").mkdir()
    os.utime(data.folder / "draft-old", (1, 1))
    (data.folder / "draft-new").mkdir()

    remove_old(data.folder)

    assert sorted(file.name for file in data.folder.iterdir()) == [
        "draft-new",
        *(f"key{n}{end}" for n in (2, 3, 4) for end in ("-top-1.jsa", ".attempt")),
    ]


def test_class_data_builder_is_a_module():
    assert find_spec(class_data.BUILDER) is not None
