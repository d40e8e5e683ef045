"""A corpus from Python where Spark runs already, as in a notebook."""

import strata
from strata.jobs.session.spark import LazySession
from strata.settings import Settings
from tests.support.corpora.texts import library_texts, with_copies, write_shards


def test_run_uses_the_spark_that_runs_and_leaves_it(spark, tmp_path, capsys):
    write_shards(tmp_path / "in", with_copies(library_texts(12)), 2)
    file = tmp_path / "corpus.toml"
    file.write_text(
        f"corpus = 'web'\nwarehouse = '{tmp_path}/wh'\n"
        f"[[inputs]]\npath = '{tmp_path}/in'\n[tokenize]\ntrain = {{ vocab_size = 300 }}\n"
    )
    before = spark.sparkContext.applicationId

    with strata.open(file) as corpus:
        report = corpus.run(master="local[1]")
        assert report.status == "done"
        assert report.machine["parallelism"] == spark.sparkContext.defaultParallelism
        assert corpus.table("tokens").count() == corpus.table("clean").count() > 0

    assert spark.range(5).count() == 5
    assert spark.sparkContext.applicationId == before
    assert capsys.readouterr() == ("", "")


def test_session_beside_another_has_sql_settings_of_its_own(spark):
    name = "spark.sql.shuffle.partitions"
    mine = spark.conf.get(name)
    properties = {name: 11, "spark.driver.memory": "9g"}
    settings = Settings(corpus="none", inputs=[{"path": "none"}], spark=properties)
    session = LazySession(settings, None, "run")

    assert session().conf.get(name) == "11"
    assert session().sparkContext.applicationId == spark.sparkContext.applicationId
    session.stop()

    assert spark.conf.get(name) == mine
    assert spark.range(3).count() == 3
    assert not session.started
