"""Where a model comes from: what its name says, what was said of it, and how that is kept with the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peakbench
from peakbench.analysis.lineage.models import known_lineage, lineage_of, lineage_record
from peakbench.analysis.lineage.names import STAGES, read_name, read_quantization, read_size, read_stages
from peakbench.api.lineages import lineage, tag
from peakbench.cli.app import main
from peakbench.config import resolve
from peakbench.errors import ConfigError, StoreError
from peakbench.store import LineageRecord, RunDirectory
from peakbench.testing import ScriptedEndpoint

# Names as model hubs and a published leaderboard have them, with what a person reads in them:
# family, parameters, stages, quantization, version, variant, labels.
NAMES: dict[str, tuple[Any, ...]] = {
    "Qwen3-VL-8B SFT+GRPO": ("Qwen3-VL", "8B", ("SFT", "GRPO"), None, None, None, ""),
    "Qwen3-VL-2B SFT+GRPO v9 NVFP4": ("Qwen3-VL", "2B", ("SFT", "GRPO"), "NVFP4", "v9", None, ""),
    "Qwen3-VL-8B Instruct (Base)": ("Qwen3-VL", "8B", (), None, None, "instruct", ""),
    "qwen3.5-0.8b-orr-sft": ("qwen3.5", "0.8B", ("SFT",), None, None, None, "orr"),
    "InternVL3-2B GRPO+GTPO Full": ("InternVL3", "2B", ("GRPO", "GTPO"), None, None, None, ""),
    "Qwen3.5-35B GPTQ-Int4": ("Qwen3.5", "35B", (), "GPTQ-INT4", None, None, ""),
    "Qwen3.5-122B-A10B NVFP4": ("Qwen3.5", "122B-A10B", (), "NVFP4", None, None, ""),
    "Moondream2 Base": ("Moondream2", None, (), None, None, "base", ""),
    "phi-4-multimodal-sft": ("phi-4-multimodal", None, ("SFT",), None, None, None, ""),
    "granite4-vision-sft-vllm-deepstack": ("granite4-vision", None, ("SFT",), None, None, None, "deepstack vllm"),
    "Qwen/Qwen3-VL-8B-Instruct-FP8": ("Qwen3-VL", "8B", (), "FP8", None, "instruct", ""),
    "Qwen/Qwen2.5-VL-7B-Instruct-AWQ": ("Qwen2.5-VL", "7B", (), "AWQ", None, "instruct", ""),
    "Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int8": ("Qwen2-VL", "7B", (), "GPTQ-INT8", None, "instruct", ""),
    "RedHatAI/Qwen2.5-VL-7B-Instruct-quantized.w4a16": ("Qwen2.5-VL", "7B", (), "W4A16", None, "instruct", ""),
    "RedHatAI/Qwen2.5-VL-7B-Instruct-FP8-Dynamic": ("Qwen2.5-VL", "7B", (), "FP8", None, "instruct", ""),
    "unsloth/Qwen3-VL-8B-Instruct-bnb-4bit": ("Qwen3-VL", "8B", (), "BNB-4BIT", None, "instruct", ""),
    "qwen2.5vl:7b-q4_K_M": ("qwen2.5vl", "7B", (), "Q4_K_M", None, None, ""),
    "/models/InternVL3_5-8B-Q8_0.gguf": ("InternVL3_5", "8B", (), "Q8_0", None, None, ""),
    "Qwen3-VL-8B-Instruct-BF16.gguf": ("Qwen3-VL", "8B", (), "none", None, "instruct", ""),
    "Qwen3-VL-8B-Instruct-UD-IQ2_XXS.gguf": ("Qwen3-VL", "8B", (), "IQ2_XXS", None, "instruct", "ud"),
    "Qwen3-VL-30B-A3B-Thinking-FP8": ("Qwen3-VL-Thinking", "30B-A3B", (), "FP8", None, None, ""),
    "google/gemma-3n-E4B-it": ("gemma-3n", "E4B", (), None, None, "instruct", ""),
    "Llama-3.2-11B-Vision-Instruct": ("Llama-3.2-Vision", "11B", (), None, None, "instruct", ""),
    "Mixtral-8x7B-Instruct-v0.1": ("Mixtral", "8x7B", (), None, "v0.1", "instruct", ""),
    "llava-v1.6-mistral-7b-hf": ("llava-v1.6-mistral", "7B", (), None, None, None, ""),
    "HuggingFaceTB/SmolVLM-500M-Instruct": ("SmolVLM", "0.5B", (), None, None, "instruct", ""),
    "Qwen3-VL-8B-sft-dpo-int4": ("Qwen3-VL", "8B", ("SFT", "DPO"), "INT4", None, None, ""),
    "gpt-4o-mini": ("gpt-4o-mini", None, (), None, None, None, ""),
    "deepseek-v3": ("deepseek-v3", None, (), None, None, None, ""),
    "NVFP4": (None, None, (), "NVFP4", None, None, ""),
    "": (None, None, (), None, None, None, ""),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_read_as_a_person_reads_them(name: str) -> None:
    family, parameters, stages, quantization, version, variant, labels = NAMES[name]
    found = read_name(name)
    assert (found.family, found.parameters, found.stages) == (family, parameters, stages)
    assert (found.quantization, found.version, found.variant) == (quantization, version, variant)
    assert found.labels == frozenset(labels.split())


@given(st.text(max_size=400))
@settings(deadline=None, max_examples=200)
def test_any_text_is_read_and_read_again_the_same(name: str) -> None:
    found = read_name(name)
    assert set(found.stages) <= STAGES
    if found.parameters is not None:
        assert read_size(found.parameters) == found.parameters
    if found.quantization is not None:
        assert read_quantization(found.quantization) == found.quantization


@given(
    st.sampled_from(["Qwen3-VL", "InternVL3", "Phi-4"]),
    st.sampled_from(["8B", "0.8B", "35B-A3B", "8x7B"]),
    st.lists(st.sampled_from(sorted(STAGES)), unique=True, max_size=3),
    st.sampled_from(["", "NVFP4", "FP8", "INT8", "GPTQ-INT4", "Q4_K_M"]),
    st.sampled_from([" ", "-", "_"]),
)
@settings(deadline=None, max_examples=100)
def test_what_is_put_into_a_name_comes_out_of_it(
    family: str, size: str, stages: list[str], form: str, between: str
) -> None:
    found = read_name(between.join(filter(None, (family, size, "+".join(stages), form))))
    assert (found.family, found.parameters, found.stages) == (family, size, tuple(stages))
    assert found.quantization == (form or None)
    assert not found.labels


def test_stages_and_a_quantization_among_them() -> None:
    assert read_stages("SFT+GRPO+GTPO+NVFP4") == (("SFT", "GRPO", "GTPO"), "NVFP4")
    assert read_stages("Zero-shot+FP8") == ((), "FP8")
    assert read_stages("none") == read_stages("") == read_stages("BF16") == ((), None)
    record = lineage_record({"training": ["sft", "NVFP4"], "parameters": "35B (3B)"})
    assert (record.training, record.quantization, record.parameters) == (("SFT",), "NVFP4", "35B-A3B")


def test_what_was_said_goes_before_the_name_and_a_contradiction_is_named() -> None:
    found = known_lineage("Granite4-Vision-3B SFT", lineage_record({"parameters": "4.5B", "training": "SFT"}))
    assert (found.family, found.parameters, found.training) == ("Granite4-Vision", "4.5B", ("SFT",))
    assert found.inferred == {"family"}
    assert found.conflicts == ("the name says 3B, given is 4.5B",)
    released = known_lineage("m-8B-sft-fp8", lineage_record({"training": "none", "quantization": "none"}))
    assert (released.training, released.quantization, released.quantized) == ((), "none", False)
    assert len(released.conflicts) == 2
    assert not known_lineage("Qwen3.5-35B", lineage_record({"parameters": "35B (3B)"})).conflicts


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"famly": "x"}, "did you mean 'family'"),
        ({"family": "  "}, "empty"),
        ({"family": "x" * 101}, "at most 100"),
        ({"training": 3}, "SFT\\+GRPO"),
        ({"version": 9}, "string"),
        ({"base_run": "no/such/run"}, "no such run"),
    ],
)
def test_what_cannot_be_said_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, StoreError), match=message):
        lineage_record(parts)


def asked(folder: Path, name: str = "run", **options: Any) -> RunDirectory:
    with ScriptedEndpoint("{}") as server:
        run = peakbench.run(
            endpoint=server.url, model="Own-8B-FP8", limit=2, out=folder / name, resamples=10, **options
        )
    return run.directory


def test_a_run_keeps_what_was_said_and_asks_the_same(tmp_path: Path) -> None:
    plain = asked(tmp_path, "plain")
    said = asked(tmp_path, "said", lineage={"family": "Own", "training": "SFT", "base_run": tmp_path / "plain"})
    record = json.loads((said.path / "run.json").read_text())["lineage"]
    assert record == {
        "family": "Own",
        "parameters": None,
        "training": ["SFT"],
        "quantization": None,
        "version": None,
        "base_run": "../plain",
    }
    assert plain.run.lineage is None
    assert plain.run.differences(said.run) == []
    hashes = [
        [json.loads(line)["request_sha256"] for line in (run.path / "responses.jsonl").read_text().splitlines()]
        for run in (plain, said)
    ]
    assert sorted(hashes[0]) == sorted(hashes[1])
    found = lineage_of(said.run)
    assert (found.parameters, found.quantization, found.inferred) == ("8B", "FP8", {"parameters", "quantization"})


def test_going_on_with_a_run_keeps_its_lineage_unless_something_new_is_said(tmp_path: Path) -> None:
    asked(tmp_path, lineage={"family": "Own", "version": "v1"})
    assert asked(tmp_path, resume=True).run.lineage == LineageRecord(family="Own", version="v1")
    asked(tmp_path, resume=True, lineage={"version": "v2"})
    assert RunDirectory.open(tmp_path / "run").run.lineage == LineageRecord(family="Own", version="v2")


def test_an_error_comes_before_anything_is_asked(tmp_path: Path) -> None:
    with ScriptedEndpoint("{}") as server, pytest.raises(ConfigError, match="family"):
        peakbench.run(endpoint=server.url, model="m", out=tmp_path / "run", lineage={"famly": "x"})
    assert server.requests == 0
    assert not (tmp_path / "run").exists()


def test_options_of_a_run_become_its_lineage(tmp_path: Path) -> None:
    file = tmp_path / "peakbench.toml"
    file.write_text(
        '[run]\nfamily = "Own"\n[endpoints.small]\nurl = "http://x/v1"\nmodel = "m"\nquantization = "FP8"\n'
    )
    options = {"endpoint": "small", "training": "SFT+GRPO", "model_version": "v9"}
    resolved = resolve(options, file=file, environment={"PEAKBENCH_PARAMETERS": "8B"})
    assert resolved.settings.arguments()["lineage"] == {
        "family": "Own",
        "parameters": "8B",
        "training": "SFT+GRPO",
        "quantization": "FP8",
        "version": "v9",
    }
    assert resolve({}, environment={}, start=Path("/nowhere")).settings.arguments()["lineage"] is None


def test_the_command_line_says_it_and_resuming_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "peakbench.toml").write_text('[run]\nfamily = "Another"\n')
    said = ["--family", "Own", "--parameters", "8b", "--training", "sft+NVFP4", "--model-version", "v9"]
    short = ["run", "--endpoint", "recorded", "--limit", "2", "-q"]
    assert main([*short, "--out", "base"]) == 0
    assert main([*short, "--out", "new", *said, "--base-run", "base"]) == 0
    kept = RunDirectory.open("new").run.lineage
    assert kept == LineageRecord(
        family="Own", parameters="8B", training=("SFT",), quantization="NVFP4", version="v9", base_run="../base"
    )
    assert main(["run", "--resume", "--out", "new", "-q"]) == 0
    assert RunDirectory.open("new").run.lineage == kept


def test_tag_adds_keeps_and_forgets(tmp_path: Path) -> None:
    run = asked(tmp_path)
    before = {file.name: file.read_bytes() for file in run.path.iterdir() if file.name != "run.json"}
    assert tag(run, family="Own", training="SFT").training == ("SFT",)
    found = tag(run.path, quantization="nvfp4")
    assert (found.family, found.quantization, found.conflicts) == (
        "Own", "NVFP4", ("the name says FP8, given is quantization NVFP4",),
    )  # fmt: skip
    found = tag(run.path, clear=["quantization"], version="v2")
    assert (found.family, found.quantization, found.version) == ("Own", "FP8", "v2")
    assert lineage(run.path) == found
    assert before == {file.name: file.read_bytes() for file in run.path.iterdir() if file.name != "run.json"}
    with pytest.raises(ConfigError, match="version"):
        tag(run, clear=["versoin"])


def test_tag_waits_for_no_writer_and_loses_nothing_of_his(tmp_path: Path) -> None:
    run = asked(tmp_path)
    other = RunDirectory.open(run.path)
    with run.lock(), pytest.raises(StoreError, match="another PeakBench"):
        tag(other, family="Own")
    with run.session(workers=3):
        pass
    tag(other, family="Own")  # opened before the session was written
    assert [session.workers for session in RunDirectory.open(run.path).run.sessions][-1] == 3


def test_a_base_run_is_found_after_the_folder_of_runs_was_moved(tmp_path: Path) -> None:
    for name in ("base", "new"):
        asked(tmp_path / "runs", name)
    tag(tmp_path / "runs" / "new", base_run=tmp_path / "runs" / "base")
    shutil.move(tmp_path / "runs", tmp_path / "moved")
    base = lineage(tmp_path / "moved" / "new").base_run
    assert base == "../base"
    with pytest.raises(StoreError, match="its own base run"):
        tag(tmp_path / "moved" / "new", base_run=tmp_path / "moved" / "new")


def test_a_run_from_before_has_no_lineage(tmp_path: Path) -> None:
    run = asked(tmp_path)
    record = json.loads((run.path / "run.json").read_text())
    del record["lineage"]
    (run.path / "run.json").write_text(json.dumps(record))
    assert RunDirectory.open(run.path).run.lineage is None
    assert lineage(run.path).quantization == "FP8"


def test_tag_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = asked(tmp_path)
    assert main(["tag", str(run.path), "--family", "Own\x1b[31m", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["model"], found["lineage"]["inferred"]) == ("Own-8B-FP8", ["parameters", "quantization"])
    assert main(["tag", str(run.path)]) == 0
    page = capsys.readouterr().out
    assert "Own\\x1b[31m" in page
    assert "\x1b" not in page
    assert "FP8" in page
    assert "read from the name" in page
    assert main(["tag", str(run.path), "--clear", "model-version,family"]) == 0
    assert "Own\\x1b" not in capsys.readouterr().out
    assert main(["tag", str(tmp_path / "nothing")]) == 2
