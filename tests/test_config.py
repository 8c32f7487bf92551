from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.api.options import Options, RunOptions
from peakbench.config import FIELDS, KINDS, RunSettings, convert, find_file, resolve, unknown_variables
from peakbench.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    file = folder / "peakbench.toml"
    file.write_text(text)
    return file


def test_the_later_layer_wins_and_every_value_says_where_it_came_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, '[run]\nworkers = 2\nmodel = "file"\nretries = 9\n[run.sampling]\nseed = 7\nmax_tokens = 64\n')
    resolved = resolve(
        {"workers": "4", "top_p": None}, environment={"PEAKBENCH_MODEL": "environment", "PEAKBENCH_MAX_TOKENS": "32"}
    )
    found = resolved.settings
    assert (found.workers, found.model, found.retries, found.seed, found.max_tokens) == (4, "environment", 9, 7, 32)
    assert [resolved.origins[name] for name in ("workers", "model", "retries", "seed", "max_tokens", "top_p")] == [
        "--workers",
        "PEAKBENCH_MODEL",
        "peakbench.toml [run]",
        "peakbench.toml [run.sampling]",
        "PEAKBENCH_MAX_TOKENS",
        "default",
    ]


def test_a_profile_is_chosen_by_name_and_beats_the_run_section(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        '[run]\nmodel = "general"\ntimeout = 5\n'
        '[endpoints.lab]\nurl = "http://lab:8000/v1"\nmodel = "qwen"\napi_key_env = "LAB_KEY"\nworkers = 32\n',
    )
    resolved = resolve({"endpoint": "lab", "workers": "3"}, environment={})
    found = resolved.settings
    assert (found.endpoint, found.model, found.api_key_env, found.workers, found.timeout) == (
        "http://lab:8000/v1",
        "qwen",
        "LAB_KEY",
        3,
        5.0,
    )
    assert resolved.origins["endpoint"] == "peakbench.toml [endpoints.lab]"
    assert resolved.profile == "lab"
    assert resolve({}, environment={}).profile is None


def test_an_endpoint_that_is_no_profile_is_left_to_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve({"endpoint": "recorded"}, environment={}).settings.endpoint == "recorded"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nworker = 2\n", "peakbench.toml [run]: unknown key 'worker'\n  did you mean 'workers'?"),
        ("[runs]\n", "peakbench.toml: unknown key 'runs'\n  did you mean 'run'?"),
        ("[run]\nseed = 1\n", "peakbench.toml [run]: 'seed' belongs in [run.sampling]"),
        (
            "[run.sampling]\ntemprature = 1\n",
            "peakbench.toml [run.sampling]: unknown key 'temprature'\n  did you mean 'temperature'?",
        ),
        ("[endpoints.a]\nmodel = 'm'\n", "peakbench.toml: [endpoints.a] needs a url"),
        (
            "[endpoints.a]\nurl = 'http://h/v1'\nmodle = 'm'\n",
            "[endpoints.a]: unknown key 'modle'\n  did you mean 'model'?",
        ),
        ("run = 1\n", "peakbench.toml: 'run' is not a table"),
        ("[run\n", "peakbench.toml: not TOML: "),
        (
            "[run]\nworkers = 'many'\n",
            "peakbench.toml [run] workers: 'many' cannot be used\n  expected: a whole number at",
        ),
        (
            "[run]\nworkers = 0\n",
            "peakbench.toml [run] workers: 0 cannot be used\n  expected: a whole number at least 1",
        ),
        ("[run]\nworkers = true\n", "peakbench.toml [run] workers: True cannot be used"),
        ("[run]\nworkers = 1.5\n", "peakbench.toml [run] workers: 1.5 cannot be used"),
        ("[run]\nstream = 1\n", "peakbench.toml [run] stream: 1 cannot be used\n  expected: true or false"),
        ("[run]\ntransport = 'curl'\n", "expected: aiohttp | openai"),
        ("[run.sampling]\ntop_p = 1.5\n", "expected: a number at least 0 and at most 1"),
        ("[run.sampling]\ntemperature = nan\n", "temperature: nan cannot be used"),
        ("[run.sampling]\ntemperature = inf\n", "temperature: inf cannot be used"),
    ],
)
def test_a_mistake_in_the_file_names_file_place_and_remedy(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        resolve({}, environment={})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[run]\napi_key = 'sk-secret'\n",
        "[endpoints.a]\nurl = 'http://h/v1'\napi_key = 'sk-secret'\n",
        "[run]\nheaders = { Authorization = 'Bearer sk-secret' }\n",
        "[endpoints.a]\nurl = 'http://h/v1'\nheaders = { 'X-API-Key' = 'sk-secret' }\n",
    ],
)
def test_a_key_in_the_file_is_refused_with_the_reason_and_not_repeated(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, text)
    with pytest.raises(ConfigError, match="a key in a file ends in a repository") as caught:
        resolve({}, environment={})
    assert "sk-secret" not in str(caught.value)


def test_a_header_may_name_an_environment_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "[run]\nheaders = { 'X-API-Key' = '${LAB_KEY}', 'X-Team' = 'vision' }\n")
    assert resolve({}, environment={"LAB_KEY": "k"}).settings.headers == {"X-API-Key": "k", "X-Team": "vision"}
    with pytest.raises(ConfigError, match="LAB_KEY, which is not set"):
        resolve({}, environment={})


def test_a_header_without_a_colon_is_refused_without_repeating_it():
    with pytest.raises(ConfigError) as caught:
        convert(("sk-secret",), "headers", where="--header")
    assert "sk-secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="control character"):
        convert(("X: a\r\nY: b",), "headers", where="--header")


def test_paths_in_the_file_are_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / "eval.jsonl").write_text("")
    below = tmp_path / "notebooks"
    below.mkdir()
    write(tmp_path, "[run]\ndata = 'eval.jsonl'\ntask = 'garment'\n")
    monkeypatch.chdir(below)
    found = resolve({}, environment={}).settings
    assert Path(found.data or "").resolve() == tmp_path / "eval.jsonl"
    assert found.task == "garment"


def test_the_search_ends_at_the_git_root_and_at_home_and_never_picks_up_a_strangers_file(tmp_path):
    (tmp_path / "peakbench.toml").write_text("")
    repository = tmp_path / "repository"
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    home = tmp_path / "home"
    home.mkdir()
    # neither a git root nor home above: only the folder itself counts
    assert find_file(inner, home) is None
    assert find_file(tmp_path, home) == tmp_path / "peakbench.toml"
    (repository / ".git").mkdir()
    assert find_file(inner, home) is None
    (repository / "peakbench.toml").write_text("")
    assert find_file(inner, home) == repository / "peakbench.toml"
    assert find_file(inner, inner) is None


def test_the_file_can_be_named_by_an_option_or_the_environment(tmp_path):
    file = write(tmp_path, "[run]\nworkers = 5\n")
    assert resolve({}, file=file, environment={}).settings.workers == 5
    assert resolve({}, environment={"PEAKBENCH_CONFIG": str(file)}).settings.workers == 5
    with pytest.raises(ConfigError, match="no such file"):
        resolve({}, file=tmp_path / "none.toml", environment={})


def record_run(folder: Path, *, url: str = "http://h/v1", provider: str | None = None, **sampling: object) -> None:
    """Leave the run.json of a run in a folder."""
    record = {
        "data": {"source": "eval.jsonl", "limit": 20},
        "endpoint": {"url": url, "provider": provider, "transport": "openai"},
        "model": "m",
        "repeats": 2,
        "repair": True,
        "workers": 16,
        "sampling": {
            "temperature": 0.5,
            "max_tokens": 99,
            "seed": None,
            "top_p": None,
            "stop": ["x"],
            "token_limit": "max_completion_tokens",
            "structured": "json_object",
            "extra_body": {"top_k": 1},
        }
        | sampling,
    }
    (folder / "run.json").write_text(json.dumps(record))


def test_what_a_run_recorded_of_itself_holds_on_resume_unless_an_option_says_otherwise(tmp_path):
    record_run(tmp_path)
    resolved = resolve({"out": str(tmp_path), "workers": "4"}, environment={"PEAKBENCH_MODEL": "other"}, resume=True)
    found = resolved.settings
    assert (found.data, found.limit, found.endpoint, found.transport) == ("eval.jsonl", 20, "http://h/v1", "openai")
    assert (found.model, found.repeats, found.repair, found.workers) == ("m", 2, True, 4)
    assert (found.temperature, found.seed, found.stop, found.structured) == (0.5, None, ("x",), "json_object")
    assert found.arguments()["sampling"].token_limit == "max_completion_tokens"
    assert found.arguments()["sampling"].max_tokens == 99
    assert resolved.origins["model"] == str(tmp_path / "run.json")
    # not resuming, or a file that is not a record: the other layers stand
    assert resolve({"out": str(tmp_path)}, environment={}).settings.model is None
    (tmp_path / "run.json").write_text("[]")
    assert resolve({"out": str(tmp_path)}, environment={}, resume=True).settings.model is None


TWO_SERVERS = """
[endpoints.good]
url = "http://good/v1?api-version=2024-10-21&code=query-secret"
api_key_env = "GOOD_KEY"
headers = { X-Team = "good" }
[endpoints.bad]
url = "http://bad/v1"
api_key_env = "BAD_KEY"
"""
GOOD = "http://good/v1?api-version=2024-10-21&code=query-secret"


@pytest.mark.parametrize(
    ("file", "options", "environment", "asked"),
    [
        # whoever is named is asked, with what belongs to it
        ("", {"endpoint": "good"}, {}, (GOOD, "GOOD_KEY", {"X-Team": "good"}, "good")),
        ("", {}, {"PEAKBENCH_ENDPOINT": "good"}, (GOOD, "GOOD_KEY", {"X-Team": "good"}, "good")),
        ("", {"endpoint": "http://new/v1"}, {}, ("http://new/v1", "OPENAI_API_KEY", {}, None)),
        ("", {}, {"PEAKBENCH_ENDPOINT": "http://new/v1"}, ("http://new/v1", "OPENAI_API_KEY", {}, None)),
        # an option stands above the environment, and neither brings the other's key
        ("", {"endpoint": "http://new/v1"}, {"PEAKBENCH_ENDPOINT": "good"},
         ("http://new/v1", "OPENAI_API_KEY", {}, None)),
        # a file's usual endpoint is no order to leave the server that the run has asked so far
        ("[run]\nendpoint = 'good'\n", {}, {}, ("http://bad/v1", "BAD_KEY", {}, "bad")),
        ("", {}, {}, ("http://bad/v1", "BAD_KEY", {}, "bad")),
    ],
)  # fmt: skip
def test_on_resume_the_key_of_a_profile_goes_to_its_own_url_or_nowhere(
    tmp_path, monkeypatch, file, options, environment, asked
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, file + TWO_SERVERS)
    record_run(tmp_path, url="http://bad/v1")
    resolved = resolve({"out": str(tmp_path), **options}, environment=environment, resume=True)
    found = resolved.settings
    assert (found.endpoint, found.api_key_env, dict(found.headers), resolved.profile) == asked
    assert found.model == "m"  # the run stays the same run


def test_on_resume_a_recorded_url_of_no_profile_gets_no_profiles_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "[run]\nendpoint = 'good'\n" + TWO_SERVERS)
    for recorded in ({"url": "http://elsewhere/v1"}, {"url": "http://good/v1", "provider": "vllm"}):
        record_run(tmp_path, **recorded)
        resolved = resolve({"out": str(tmp_path)}, environment={}, resume=True)
        found = resolved.settings
        assert found.endpoint in {"http://elsewhere/v1", "vllm"}
        assert (found.api_key_env, dict(found.headers), resolved.profile) == ("OPENAI_API_KEY", {}, None)


def test_on_resume_a_profile_is_found_by_the_url_that_run_json_keeps_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, TWO_SERVERS)
    record_run(tmp_path, url="http://good/v1?api-version=2024-10-21")  # the secret of the query is not kept
    found = resolve({"out": str(tmp_path)}, environment={}, resume=True).settings
    assert (found.endpoint, found.api_key_env) == (GOOD, "GOOD_KEY")


def test_on_resume_two_profiles_with_the_runs_url_are_not_guessed_between(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    twin = TWO_SERVERS + '[endpoints.twin]\nurl = "http://bad/v1"\napi_key_env = "TWIN_KEY"\n'
    write(tmp_path, twin)
    record_run(tmp_path, url="http://bad/v1")
    with pytest.raises(ConfigError, match="several endpoints have this URL: bad, twin"):
        resolve({"out": str(tmp_path)}, environment={}, resume=True)
    named = resolve({"out": str(tmp_path), "endpoint": "twin"}, environment={}, resume=True).settings
    assert named.api_key_env == "TWIN_KEY"
    write(tmp_path, "[run]\nendpoint = 'twin'\n" + twin)
    assert resolve({"out": str(tmp_path)}, environment={}, resume=True).settings.api_key_env == "TWIN_KEY"


def test_a_profile_says_under_which_name_its_server_takes_the_token_limit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path, "[run.sampling]\nmax_tokens = 64\n[endpoints.a]\nurl = 'http://h/v1'\nmax_completion_tokens = 512\n"
    )

    def limit(options: dict[str, str], **more: object) -> tuple[str, int]:
        sampling = resolve(options, environment={}, **more).settings.arguments()["sampling"]
        return sampling.token_limit, sampling.max_tokens

    assert limit({}) == ("max_tokens", 64)
    assert limit({"endpoint": "a"}) == ("max_completion_tokens", 512)
    # how many tokens is for the later layer to say
    assert limit({"endpoint": "a", "max_tokens": "32"}) == ("max_completion_tokens", 32)
    assert limit({"endpoint": "a", "max_tokens": "32", "max_completion_tokens": "48"}) == ("max_completion_tokens", 48)
    # and a run that began without the profile goes on as it began
    record_run(tmp_path, token_limit="max_tokens")
    assert limit({"endpoint": "a", "out": str(tmp_path)}, resume=True) == ("max_tokens", 99)


def test_settings_become_keywords_of_the_library():
    arguments = RunSettings().arguments()
    assert arguments.pop("data") is None
    assert arguments.keys() <= RunOptions.__annotations__.keys()
    # one default, stated in two places: the library's own must be the same
    assert Options(**arguments) == Options()


def test_unknown_variables_name_the_nearest():
    lines = list(unknown_variables({"PEAKBENCH_WORKER": "1", "PEAKBENCH_WORKERS": "1", "OTHER": "1"}))
    assert lines == ["PEAKBENCH_WORKER sets nothing; did you mean 'PEAKBENCH_WORKERS'?"]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text()))
def test_any_value_is_taken_or_refused_with_a_config_error(name, value):
    try:
        taken = convert(value, name, where="here")
    except ConfigError as error:
        found: object = str(error)
    else:
        found = taken
    if isinstance(found, str) and KINDS[name] in {int, bool, float}:
        assert found.startswith("here: ")
    elif KINDS[name] in {int, bool}:
        assert type(found) is KINDS[name]
