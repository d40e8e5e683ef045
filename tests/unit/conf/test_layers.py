import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from strata.errors import SettingsError
from strata.layers import ENVIRONMENTS, load_settings, render, spark_settings
from strata.settings import Settings

MINIMAL = 'corpus = "web"\n[[inputs]]\npath = "a/*.jsonl"\n'


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.delenv("STRATA_ENV", raising=False)

    def write_file(text):
        file = tmp_path / "corpus.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write_file


def problem(file, *overrides):
    with pytest.raises(SettingsError) as caught:
        load_settings(file, overrides)
    return str(caught.value)


def test_layers_minimal_file_gets_defaults(write):
    settings = load_settings(write(MINIMAL)).settings
    assert settings.corpus == "web"
    assert settings.dedup.ngram == 5
    assert settings.inputs[0].paths == ("a/*.jsonl",)


def test_layers_each_value_knows_its_layer(write):
    file = write(MINIMAL + "[dedup]\nthreshold = 0.9\nngram = 4\n")
    origins = load_settings(file, ["dedup.ngram=3"]).origins
    assert origins["dedup.threshold"] == str(file)
    assert origins["dedup.ngram"] == "--set"
    assert origins["inputs.0.path"] == str(file)
    assert origins['spark."spark.driver.memory"'] == "local.toml"
    assert origins['spark."spark.sql.session.timeZone"'] == "base.toml"
    assert "dedup.survivor" not in origins


def test_layers_user_file_overrides_packaged_ones(write):
    file = write(MINIMAL + '[spark]\n"spark.driver.memory" = "7g"\n')
    settings = load_settings(file).settings
    assert settings.spark["spark.driver.memory"] == "7g"
    assert settings.spark["spark.sql.session.timeZone"] == "UTC"


def test_layers_environment_cluster_brings_its_file(write):
    loaded = load_settings(write(MINIMAL), env="cluster")
    assert loaded.settings.shard.target_file_mb == 256
    assert loaded.origins["shard.target_file_mb"] == "cluster.toml"


def test_layers_environment_variable_chooses(write, monkeypatch):
    monkeypatch.setenv("STRATA_ENV", "cluster")
    assert load_settings(write(MINIMAL)).settings.shard.target_file_mb == 256


def test_layers_environment_unknown_is_refused_with_known_ones(write, monkeypatch):
    monkeypatch.setenv("STRATA_ENV", "moon")
    assert "local, cluster" in problem(write(MINIMAL))


@pytest.mark.parametrize("name", ["base", *ENVIRONMENTS])
def test_layers_packaged_files_are_valid(name):
    tree = tomllib.loads(resources.files("strata").joinpath(f"{name}.toml").read_text())
    Settings.model_validate(tree | {"corpus": "web", "inputs": [{"path": "a"}]})


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("warehouse=s3://bucket/a=b", "s3://bucket/a=b"),
        ('warehouse="./x"', "./x"),
        ("warehouse = ./x", "./x"),
        ("warehouse=a\nb", "a\nb"),
    ],
)
def test_layers_override_text_needs_no_quotes(write, override, value):
    assert load_settings(write(MINIMAL), [override]).settings.warehouse == value


@pytest.mark.parametrize(
    "override",
    [
        'spark."spark.sql.shuffle.partitions"=4',
        "spark.'spark.sql.shuffle.partitions'=4",
        "spark.spark.sql.shuffle.partitions=4",
        'spark={"spark.sql.shuffle.partitions"=4}',
    ],
)
def test_layers_override_spark_key_is_one_key(write, override):
    loaded = load_settings(write(MINIMAL), [override])
    assert loaded.settings.spark["spark.sql.shuffle.partitions"] == 4
    assert loaded.origins['spark."spark.sql.shuffle.partitions"'] == "--set"


def test_layers_override_key_with_equals_sign_is_split_behind_the_key(write):
    loaded = load_settings(write(MINIMAL), ['storage_options."s3://a=b".anon=true'])
    assert loaded.settings.storage_options == {"s3://a=b": {"anon": True}}


def test_layers_override_types_follow_toml(write):
    loaded = load_settings(write(MINIMAL), ["tokenize.eos=false", 'dedup.survivor=["longest"]'])
    assert loaded.settings.tokenize.eos is False
    assert loaded.settings.dedup.survivor == ("longest",)


def test_layers_overrides_alone_make_settings(monkeypatch):
    monkeypatch.delenv("STRATA_ENV", raising=False)
    loaded = load_settings(None, ["corpus=web", 'inputs=[{path="a"}]'])
    assert loaded.settings.inputs[0].path == "a"


def test_layers_array_of_inputs_is_replaced_with_its_origins(write):
    file = write(MINIMAL + 'source = "x"\n')
    loaded = load_settings(file, ['inputs=[{path="b"}]'])
    assert loaded.origins["inputs.0.path"] == "--set"
    assert "inputs.0.source" not in loaded.origins


@pytest.mark.parametrize("override", ["", "x", "=3", "a b=3", "a.=3", "dedup\nx=3"])
def test_layers_override_malformed_is_refused_with_example(write, override):
    assert "section.key=value" in problem(write(MINIMAL), override)


def test_layers_override_twice_is_refused(write):
    assert "dedup.ngram twice" in problem(write(MINIMAL), "dedup.ngram=3", "dedup.ngram=4")


def test_layers_file_missing_is_named(tmp_path):
    assert "nowhere.toml" in problem(tmp_path / "nowhere.toml")


def test_layers_folder_instead_of_file_is_named(tmp_path):
    assert str(tmp_path) in problem(tmp_path)


def test_layers_file_not_toml_names_the_line(write):
    assert "line 2" in problem(write('corpus = "web"\ninputs = = 3\n'))


def test_layers_file_not_utf8_names_the_byte(write):
    assert "byte 10" in problem(write(b'corpus = "\xff"\n'))


def test_layers_file_with_bom_is_read(write):
    assert load_settings(write(b"\xef\xbb\xbf" + MINIMAL.encode())).settings.corpus == "web"


def test_layers_all_problems_are_reported_at_once(write):
    text = problem(
        write("[[inputs]]\npath = 5\n[dedup]\ntreshold = 0.8\nthreshold = 7\n"), "shard.split_mb=x"
    )
    assert "5 problems" in text
    assert "corpus (" in text
    assert "inputs.0.path = 5" in text
    assert "dedup.threshold = 7" in text
    assert 'shard.split_mb = "x" (--set)' in text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[dedup]\ntreshold = 0.8\n", "did you mean dedup.threshold?"),
        ("[tiers.hot]\nurl = 'x'\nlvl = 3\n", "did you mean tiers.hot.level?"),
        (
            "[tokenize.train]\nvocab_size = 300\nsample = 3\n",
            "did you mean tokenize.train.sample_mb",
        ),
        ("[shard]\nngram = 3\n", "did you mean dedup.ngram?"),
        ("[shard]\nzzz = 3\n", "known here: "),
        ("[inputs.fields]\ntxt = 'a'\n", "did you mean inputs.0.fields.text?"),
    ],
)
def test_layers_unknown_key_hints_at_the_nearest(write, text, hint):
    assert hint in problem(write(MINIMAL + text))


def test_layers_wrong_choice_names_the_allowed_ones(write):
    text = problem(write(MINIMAL + 'format = "xml"\n'))
    assert 'inputs.0.format = "xml"' in text
    assert "'jsonl'" in text


def test_layers_rule_of_a_section_names_it(write):
    text = problem(write(MINIMAL + "[tiers.g]\nurl = 'q'\ncodec = 'gzip'\nlevel = 12\n"))
    assert "tiers.g " in text
    assert "largest: 9" in text


def test_layers_problem_never_shows_a_secret(write):
    text = problem(
        write(MINIMAL + '[storage_options]\n"s3://b" = "hush"\n[catalog]\nuri = 123987\n')
    )
    assert "hush" not in text
    assert "123987" not in text
    assert 'storage_options."s3://b"' in text


def test_render_loads_to_the_same_settings(write, tmp_path):
    file = write(
        MINIMAL
        + '[[inputs]]\npath = ["b\\u007f", "c"]\nfields = { text = "x" }\n'
        + "[tiers.hot]\nurl = 'h'\n[tables]\ntokens = 'hot'\n[tokenize.train]\nvocab_size = 300\n"
    )
    loaded = load_settings(file)
    again = tmp_path / "again.toml"
    again.write_text(render(loaded))
    assert load_settings(again).settings == loaded.settings


def test_render_names_layer_behind_each_value(write):
    file = write(MINIMAL)
    lines = render(load_settings(file, ["dedup.ngram=3"])).splitlines()
    assert f'corpus = "web"  # {file}' in lines
    assert "ngram = 3  # --set" in lines
    assert "threshold = 0.8  # default" in lines
    assert "# bands is not set" in lines


def test_render_masks_secrets_but_not_references(write):
    file = write(
        MINIMAL
        + '[storage_options."s3://b"]\nkey = "hush"\nsecret = "env:SECRET"\n'
        + 'client_kwargs = { token = "hush" }\n[catalog]\nuri = "db://me:hush@host"\n'
    )
    text = render(load_settings(file))
    assert "hush" not in text
    assert 'secret = "env:SECRET"' in text


def test_layers_load_from_inside_a_zip(write, tmp_path):
    import zipfile

    import strata

    archive = tmp_path / "strata.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for file in Path(strata.__file__).parent.iterdir():
            if file.suffix in (".py", ".toml"):
                target.write(file, f"strata/{file.name}")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import strata, pathlib\n"
        "assert 'strata.zip' in strata.__file__\n"
        "from strata.layers import load_settings\n"
        "print(load_settings(pathlib.Path(sys.argv[2])).settings.corpus)"
    )
    command = [sys.executable, "-c", code, str(archive), str(write(MINIMAL))]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == "web\n"


def test_layers_empty_warehouse_is_refused_by_name(write):
    with pytest.raises(SettingsError, match="warehouse"):
        load_settings(write(MINIMAL), ["warehouse="])


def test_spark_settings_without_a_file_are_those_that_a_file_would_get(tmp_path):
    file = tmp_path / "web.toml"
    file.write_text('corpus = "web"\nwarehouse = "wh"\n[[inputs]]\npath = "in"\n')
    overrides = ['spark."spark.driver.memory"="7g"']
    assert spark_settings() == load_settings(file).settings.spark
    assert spark_settings(overrides) == load_settings(file, overrides).settings.spark
    assert spark_settings(overrides)["spark.driver.memory"] == "7g"


def test_layers_problems_of_rules_between_keys_are_told_with_the_others(write):
    text = """
corpus = "9web"
[[inputs]]
path = "a"
format = "json"
pth = "b"
[dedup]
bands = 3
treshold = 0.9
[tables]
document = "cold"
clean = "cool"
[shard]
landing = "gone"
split_mb = "x"
[tiers.cold]
level = 99
url = "s3:/bucket"
"""
    told = problem(write(text), "nothing", "dedup.ngram=0", "lifecycle=[{to='moon'}]")
    lines = told.splitlines()
    for words in (
        "--set 'nothing' is not section.key=value",
        'corpus = "9web"',
        'inputs.0.format = "json"',
        "inputs.0.pth",
        "give both bands and rows",
        "did you mean dedup.threshold?",
        "there is no table 'document'",
        "tables.clean names the tier 'cool'",
        "shard.landing names the tier 'gone'",
        "lifecycle.0.to names the tier 'moon'",
        'shard.split_mb = "x"',
        "tiers.cold.level = 99",
        "write s3://bucket",
        "dedup.ngram = 0 (--set)",
    ):
        assert words in told, told
    assert lines[0] == f"{len(lines) - 1} problems in the settings:"
    assert "[tiers.cold]" not in told


def test_layers_problem_of_a_whole_section_makes_no_others(write):
    told = problem(
        write(MINIMAL),
        "tiers.cold={url='x',codec='gzip',level=12}",
        "lifecycle=[{to='cold',reads_at_least=3,reads_at_most=1}]",
        "tables={tokens='cold',clean='gone'}",
    )
    assert len(told.splitlines()) == 4, told
    assert "codec gzip has no level 12" in told
    assert "no file is read at least 3" in told
    assert "names the tier 'gone'" in told


def test_layers_problems_of_overrides_are_told_beside_a_broken_file(write):
    told = problem(write("corpus ="), "nothing", "dedup.ngram=4", "dedup.ngram=5")
    assert told.startswith("3 problems in the settings:")
    assert "is not TOML" in told
    assert "gives dedup.ngram twice" in told
    assert "required" not in told


@pytest.mark.parametrize(
    ("override", "form"),
    [
        ("dedup.survivor='longest'", 'must be a list: ["longest"]'),
        ("dedup=3", "must be a table: [dedup]"),
        ("tiers.hot='/x'", "must be a table: [tiers.hot]"),
        ("inputs={path='x'}", "must be a list of tables: [[inputs]], with two brackets"),
        ("inputs=[{path=5}]", "must be text, in quotes or a list: [5]"),
        ("corpus=5", "must be text, in quotes"),
        ("corpus='a b'", "a name of letters, digits, _ and -"),
        ("dedup.ngram='five'", "must be a whole number, without quotes"),
        ("dedup.threshold='high'", "must be a number, without quotes"),
        ("dedup.write_clean='perhaps'", "must be true or false"),
        ("dedup.against=['a b']", "NAME@SNAPSHOT"),
        ("tiers.hot={url='s3://b',storage_class='x'}", "capital letters, digits and _"),
    ],
)
def test_layers_problem_has_the_form_that_works(write, override, form):
    assert form in problem(write(MINIMAL), override)
