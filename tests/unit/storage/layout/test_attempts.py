import pytest

from strata.storage.layout.attempts import (
    attempt_folder,
    corpus_of_folder,
    new_attempt,
    run_id_problem,
)


def test_new_attempt_is_unique():
    assert len({new_attempt() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("run_id", ["r", "airflow-20260101T000000", "a.b.c", "web.x.0"])
@pytest.mark.parametrize("corpus", ["web", "web-2_x"])
def test_corpus_of_folder_reads_what_attempt_folder_wrote(corpus, run_id):
    assert corpus_of_folder(attempt_folder(corpus, run_id, new_attempt())) == corpus


@pytest.mark.parametrize("name", ["20260101-000000-17", "web", "web.run", "web.run.abc"])
def test_corpus_of_folder_of_an_older_version_is_unknown(name):
    assert corpus_of_folder(name) is None


@pytest.mark.parametrize(
    "run_id", ["20260101-000000-17", "manual__2026-01-01T00:00:00+00:00", "über.1"]
)
def test_run_id_problem_usual_names_have_none(run_id):
    assert not run_id_problem(run_id)


@pytest.mark.parametrize(
    ("run_id", "word"),
    [
        ("", "empty"),
        ("..", "dot"),
        ("a/b", "'/'"),
        ("a*", "'*'"),
        ("a\nb", "n'"),
        ("x" * 121, "121"),
    ],
)
def test_run_id_problem_of_what_cannot_name_a_file(run_id, word):
    assert word in run_id_problem(run_id)
