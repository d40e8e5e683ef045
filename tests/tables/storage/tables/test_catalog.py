import pickle

import pytest

from strata.errors import MachineError, SettingsError, TransientError
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.iceberg.file_io import StoreFileIO, io_properties
from strata.storage.tables.catalog import open_corpus
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import TableWriter
from tests.support.suites.catalogs import LAYOUT, CatalogTests, one_row


class TestSqliteCatalog(CatalogTests):
    pass


def test_catalog_remote_warehouse_needs_a_catalog(settings):
    remote = settings.model_copy(update={"warehouse": "memory://w"})
    with pytest.raises(SettingsError, match="memory://w"):
        open_corpus(remote)


def test_catalog_remote_warehouse_with_a_catalog_works(settings, any_folder, tmp_path, request):
    options = (
        {"s3://bucket": request.getfixturevalue("s3_options")} if any_folder.scheme == "s3" else {}
    )
    remote = settings.model_copy(
        update={
            "warehouse": str(any_folder / "wh"),
            "catalog": {"uri": f"sqlite:///{tmp_path}/c.db"},
            "storage_options": options,
        }
    )
    with open_corpus(remote) as corpus:
        with TableWriter(corpus.store, any_folder / "data", "clusters", LAYOUT, "t") as writer:
            writer.write(one_row("clusters"))
        table = corpus.table("clusters")
        publish(table, writer.close(), mode=PublishMode.OVERWRITE, content_key="k", run_id="r")
        assert [file.rows for file in table.files()] == [1]
        metadata = Url.parse(table.iceberg().metadata_location)
        assert metadata.is_below(any_folder / "wh")
        assert b"secret" not in corpus.store.read_bytes(metadata)


def test_catalog_wrong_catalog_type_is_a_settings_error(settings):
    wrong = settings.model_copy(update={"catalog": {"type": "magic"}})
    with pytest.raises(SettingsError, match="magic"):
        open_corpus(wrong)


def test_catalog_secret_comes_from_the_environment(settings, monkeypatch):
    monkeypatch.delenv("CATALOG_URI", raising=False)
    secret = settings.model_copy(update={"catalog": {"uri": "env:CATALOG_URI"}})
    with pytest.raises(SettingsError, match="CATALOG_URI"):
        open_corpus(secret)


def test_catalog_that_is_no_database_is_told_and_not_retried(settings, tmp_path):
    (tmp_path / "warehouse").mkdir()
    (tmp_path / "warehouse" / "catalog.db").write_bytes(b"no database " * 100)
    with pytest.raises(MachineError, match="web"):
        open_corpus(settings)


def test_catalog_errors_pass_bugs_through():
    with pytest.raises(ZeroDivisionError), catalog_errors("t"):
        raise ZeroDivisionError


def test_file_io_pickles_and_refuses_to_overwrite(any_folder, request):
    options = (
        {"s3://bucket": request.getfixturevalue("s3_options")} if any_folder.scheme == "s3" else {}
    )
    io = pickle.loads(pickle.dumps(StoreFileIO(io_properties(StorageOptions(options)))))
    location = str(any_folder / "m" / "x.avro")
    with io.new_output(location).create() as file:
        file.write(b"abc")
    made = io.new_input(location)
    assert (len(made), made.exists(), made.location) == (3, True, location)
    with made.open() as file:
        assert file.read() == b"abc"
    with pytest.raises(FileExistsError):
        io.new_output(location).create()
    io.new_output(location).create(overwrite=True).close()
    io.delete(made)
    assert not io.new_input(location).exists()


def test_catalog_password_in_the_uri_is_refused_and_not_repeated(settings, monkeypatch):
    uri = "postgresql+psycopg://strata:hunter2@127.0.0.1:9/strata"
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1:9") as caught:
        open_corpus(settings.model_copy(update={"catalog": {"uri": uri}}))
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("CATALOG_URI", uri)
    with pytest.raises(TransientError, match="did not answer") as caught:
        open_corpus(settings.model_copy(update={"catalog": {"uri": "env:CATALOG_URI"}}))
    assert "hunter2" not in str(caught.value)


def test_catalog_unknown_driver_is_a_settings_error(settings):
    wrong = settings.model_copy(update={"catalog": {"uri": "nosuch+thing://h/x"}})
    with pytest.raises(SettingsError, match="nosuch"):
        open_corpus(wrong)
